-- agent/register.lua: put an agent on the registry, as who it was before where that is known. A
-- process that is registered stays the agent it is (/clear and /resume change the session, not the
-- process). A session that comes back in a new process gets its old name when no agent bears it
-- now, and so does a process whose lease had run out, with its role. Any other agent gets the
-- role's next number. An orchestrator leads where no other does.
-- KEYS registry HASH · incarnations HASH · processes HASH · heartbeat* STRING · token STRING ·
--   candidates ZSET · session(session) STRING · agent_seq HASH
-- ARGV name: the one wanted, or '' · role · process: or '' · lease_ms · record: a JSON object with
--   at least one field, without id, incarnation, role, joined_ms · memory_ms: how long the
--   session's name is kept, 0 where there is no session · replaced: an agent, or '' ·
--   replaced_incarnation
-- Returns {OK, agent, incarnation, 'known' | 'back' | 'new', role} · {EXISTS, agent} when another
--   agent bears the wanted name · {GONE} when the agent replaced is not registered · {SPOILED,
--   key}.
-- include: clock
-- include: expect
-- include: emit
-- include: elect_leader
-- include: check_agent_keys
-- include: agent_name
spoiled = expect('HLEN', K.agent_seq)
if spoiled then return spoiled end
local last = redis.call('HGET', K.agent_seq, A.role) or '0'
if not string.match(last, '^%d+$') then return { 'SPOILED', K.agent_seq } end
local replaces = A.replaced ~= ''
if replaces and redis.call('HGET', K.incarnations, A.replaced) ~= A.replaced_incarnation then
  return { 'GONE' }
end
local agent, how, role = name_for()
if how == 'new' and registered(agent) then return { 'EXISTS', agent } end
if replaces then retire(A.replaced, 'replaced', false) end
local incarnation, joined_ms = nil, now_ms()
if how == 'known' then
  local before = record_of(agent)
  incarnation = redis.call('HGET', K.incarnations, agent)
  role = type(before.role) == 'string' and before.role or role
  joined_ms = number(before.joined_ms, joined_ms)
else
  incarnation = string.format('%.0f', redis.call('INCR', K.token))
end
-- Spliced, not decoded and encoded again: cjson would turn an empty array into an object.
local head = string.format('{"id":%s,"incarnation":%s,"role":%s,"joined_ms":%.0f,',
  cjson.encode(agent), cjson.encode(incarnation), cjson.encode(role), joined_ms)
redis.call('HSET', K.registry, agent, head .. string.sub(A.record, 2))
redis.call('HSET', K.incarnations, agent, incarnation)
redis.call('SET', K.heartbeat .. agent, incarnation, 'PX', A.lease_ms)
if A.memory_ms ~= '0' then redis.call('SET', K.session, agent, 'PX', A.memory_ms) end
if A.process ~= '' then redis.call('HSET', K.processes, A.process, agent) end
if how ~= 'known' then emit('agent_joined', { agent = agent, role = role, how = how }) end
if role == 'orchestrator' then redis.call('ZADD', K.candidates, 'NX', incarnation, agent) end
elect(agent)
return { 'OK', agent, incarnation, how, role }
