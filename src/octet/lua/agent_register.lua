-- agent_register.lua: put an agent on the registry, as who it was before where that is known.
-- A process that is registered stays the agent it is (/clear and /resume change the session, not the process). A session that
-- comes back in a new process gets its old name when nobody bears it now. Anybody else gets the role's next number.
-- KEYS[1..16] as in include/agent_keys.lua · KEYS[17] agents:session:<session> STRING · KEYS[18] agents:seq HASH · KEYS[19] token STRING
-- ARGV[1] channel prefix · ARGV[2] name wanted, or '' · ARGV[3] role · ARGV[4] process, or '' · ARGV[5] lease, ms
-- ARGV[6] record, a JSON object with at least one field, without id, incarnation, role, joined_ms
-- ARGV[7] how long the session's name is kept, ms; '0' where there is no session
-- ARGV[8] agent replaced, or '' · ARGV[9] its incarnation
-- Returns {OK, agent, incarnation, 'known' | 'back' | 'new', role} · {EXISTS, agent} when the wanted name is borne by another
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
-- include: retire
-- include: agent_keys
local session, seq, token = KEYS[17], KEYS[18], KEYS[19]
local wanted, role, process, lease_ms, record, memory_ms, replaced = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local function registered(agent) return agent and agent ~= replaced and redis.call('HEXISTS', K.incarnations, agent) == 1 end

local function next_name()
  local name
  repeat name = role .. '-' .. string.format('%.0f', redis.call('HINCRBY', seq, role, 1)) until not registered(name)
  return name
end

local function name_for()
  local same = process ~= '' and redis.call('HGET', K.processes, process)
  if registered(same) then return same, 'known' end
  if wanted ~= '' then
    -- A name without a process (a script, a person) is whoever says it; one with a process is that process only.
    local free = process == '' and registered(wanted) and (record_of(K, wanted).process or '') == ''
    return wanted, free and 'known' or 'new'
  end
  local before = memory_ms ~= '0' and redis.pcall('GET', session)
  local returns = type(before) == 'string' and string.match(before, '^(.*)%-%d+$') == role and before ~= replaced
  if returns and not registered(before) then return before, 'back' end
  return next_name(), 'new'
end

spoiled = expect('HLEN', seq) or expect_number(token)
if spoiled then return spoiled end
if not string.match(redis.call('HGET', seq, role) or '0', '^%d+$') then return { 'SPOILED', seq } end
if replaced ~= '' and redis.call('HGET', K.incarnations, replaced) ~= ARGV[9] then return { 'GONE' } end
local agent, how = name_for()
if how == 'new' and registered(agent) then return { 'EXISTS', agent } end
if replaced ~= '' then retire(K, replaced, 'replaced', false) end
local incarnation, joined_ms = nil, now_ms()
if how == 'known' then
  local before = record_of(K, agent)
  incarnation = redis.call('HGET', K.incarnations, agent)
  role, joined_ms = type(before.role) == 'string' and before.role or role, number(before.joined_ms, joined_ms)
else
  incarnation = string.format('%.0f', redis.call('INCR', token))
end
-- Spliced, not decoded and encoded again: cjson would turn an empty array into an object.
redis.call('HSET', K.registry, agent, string.format('{"id":%s,"incarnation":%s,"role":%s,"joined_ms":%.0f,',
  cjson.encode(agent), cjson.encode(incarnation), cjson.encode(role), joined_ms) .. string.sub(record, 2))
redis.call('HSET', K.incarnations, agent, incarnation)
redis.call('SET', K.heartbeats .. agent, incarnation, 'PX', lease_ms)
if memory_ms ~= '0' then redis.call('SET', session, agent, 'PX', memory_ms) end
if process ~= '' then redis.call('HSET', K.processes, process, agent) end
if how ~= 'known' then emit(K.log, K.channels, 'agent_joined', { agent = agent, role = role, how = how }) end
return { 'OK', agent, incarnation, how, role }
