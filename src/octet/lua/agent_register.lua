-- agent_register.lua: put an agent on the registry, as who it was before where that is known.
-- A process that is registered stays the agent it is (/clear and /resume change the session, not the process). A session that
-- comes back in a new process gets its old name when nobody bears it now. Anybody else gets the role's next number.
-- KEYS[1..13] as in include/agent_keys.lua · KEYS[14] agents:session:<session> STRING · KEYS[15] agents:seq HASH · KEYS[16] token STRING
-- ARGV[1] channel prefix · ARGV[2] name wanted, or '' · ARGV[3] role · ARGV[4] process, or '' · ARGV[5] lease, ms
-- ARGV[6] record, a JSON object with at least one field, without id, incarnation, role, joined_ms · ARGV[7] how long a session's name is kept, ms · ARGV[8] agent replaced, or ''
-- Returns {OK, agent, incarnation, 'known' | 'back' | 'new', role} · {EXISTS, agent} when the wanted name is borne by another.
-- include: clock
-- include: emit
-- include: enqueue
-- include: free_locks
-- include: give_back
-- include: retire
-- include: agent_keys
local session, seq, token = KEYS[14], KEYS[15], KEYS[16]
local wanted, role, process, lease_ms, record = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local function registered(agent) return agent and redis.call('HEXISTS', K.incarnations, agent) == 1 end

local function name_for()
  local same = process ~= '' and redis.call('HGET', K.processes, process)
  if registered(same) then return same, 'known' end
  if wanted ~= '' then
    -- A name without a process (a script, a person) is whoever says it; one with a process is that process only.
    local free = process == '' and registered(wanted) and not cjson.decode(redis.call('HGET', K.registry, wanted)).process
    return wanted, free and 'known' or 'new'
  end
  local before = redis.call('GET', session)
  if before and not registered(before) and string.match(before, '^(.*)%-%d+$') == role then return before, 'back' end
  return role .. '-' .. redis.call('HINCRBY', seq, role, 1), 'new'
end

if ARGV[8] ~= '' then retire(K, ARGV[8], 'replaced', false) end
local agent, how = name_for()
if how == 'new' and registered(agent) then return { 'EXISTS', agent } end
local incarnation = how == 'known' and redis.call('HGET', K.incarnations, agent) or tostring(redis.call('INCR', token))
local joined_ms = now_ms()
if how == 'known' then
  local before = cjson.decode(redis.call('HGET', K.registry, agent))
  role, joined_ms = before.role, before.joined_ms
end
-- Spliced, not decoded and encoded again: cjson would turn an empty array into an object.
redis.call('HSET', K.registry, agent, string.format('{"id":"%s","incarnation":"%s","role":"%s","joined_ms":%.0f,',
  agent, incarnation, role, joined_ms) .. string.sub(record, 2))
redis.call('HSET', K.incarnations, agent, incarnation)
redis.call('SET', K.heartbeats .. agent, incarnation, 'PX', lease_ms)
redis.call('SET', session, agent, 'PX', ARGV[7])
if process ~= '' then redis.call('HSET', K.processes, process, agent) end
if how ~= 'known' then emit(K.log, K.channels, 'agent_joined', { agent = agent, role = role, how = how }) end
return { 'OK', agent, incarnation, how, role }
