-- agent/register.lua: put an agent on the registry, as who it was before where that is known. A
-- process that is registered stays the agent it is (/clear and /resume change the session, not the
-- process). A session that comes back in a new process gets its old name when nobody bears it now,
-- and so does a process whose lease had run out, with its role. Anybody else gets the role's next
-- number. An orchestrator leads where no other does.
-- KEYS session(session) STRING · agent_seq HASH
-- ARGV name: the one wanted, or '' · role · process: or '' · lease_ms · record: a JSON object with
--   at least one field, without id, incarnation, role, joined_ms · memory_ms: how long the
--   session's name is kept, 0 where there is no session · replaced: an agent, or '' ·
--   replaced_incarnation
-- Returns {OK, agent, incarnation, 'known' | 'back' | 'new', role} · {EXISTS, agent} when the
--   wanted name is borne by another
-- · {GONE} when the agent replaced is not registered · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: free_locks
-- include: give_back
-- include: post
-- include: elect
-- include: retire
-- include: agent_keys
-- include: agent_name
local session, seq = KEYS[21], KEYS[22]
local role, process, lease_ms, record, memory_ms, replaced = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local ask = { wanted = ARGV[2], role = role, process = process, session = memory_ms ~= '0' and session, seq = seq, replaced = replaced }

spoiled = expect('HLEN', seq)
if spoiled then return spoiled end
if not string.match(redis.call('HGET', seq, role) or '0', '^%d+$') then return { 'SPOILED', seq } end
if replaced ~= '' and redis.call('HGET', K.incarnations, replaced) ~= ARGV[9] then return { 'GONE' } end
local agent, how
agent, how, role = name_for(K, ask)
if how == 'new' and registered(K, ask, agent) then return { 'EXISTS', agent } end
if replaced ~= '' then retire(K, replaced, 'replaced', false) end
local incarnation, joined_ms = nil, now_ms()
if how == 'known' then
  local before = record_of(K, agent)
  incarnation = redis.call('HGET', K.incarnations, agent)
  role, joined_ms = type(before.role) == 'string' and before.role or role, number(before.joined_ms, joined_ms)
else
  incarnation = string.format('%.0f', redis.call('INCR', K.token))
end
-- Spliced, not decoded and encoded again: cjson would turn an empty array into an object.
redis.call('HSET', K.registry, agent, string.format('{"id":%s,"incarnation":%s,"role":%s,"joined_ms":%.0f,',
  cjson.encode(agent), cjson.encode(incarnation), cjson.encode(role), joined_ms) .. string.sub(record, 2))
redis.call('HSET', K.incarnations, agent, incarnation)
redis.call('SET', K.heartbeats .. agent, incarnation, 'PX', lease_ms)
if memory_ms ~= '0' then redis.call('SET', session, agent, 'PX', memory_ms) end
if process ~= '' then redis.call('HSET', K.processes, process, agent) end
if how ~= 'known' then emit(K.log, K.channels, 'agent_joined', { agent = agent, role = role, how = how }) end
if role == 'orchestrator' then redis.call('ZADD', K.candidates, 'NX', incarnation, agent) end
elect(K, agent)
return { 'OK', agent, incarnation, how, role }
