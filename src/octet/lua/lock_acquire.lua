-- lock_acquire.lua: take every resource named, or none. Re-entrant: what the agent holds is renewed and keeps its token.
-- A sub-agent may pass where its parent stands: a parent's path lock passes to it, any other lock of the parent is shared.
-- KEYS[1] agents:incarnations HASH · KEYS[2] agents:claims:<agent> SET · KEYS[3] agents:locks: prefix · KEYS[4] locks: prefix
-- KEYS[5] locks:index SET · KEYS[6] token STRING · KEYS[7] log STREAM
-- ARGV[1] channel prefix · ARGV[2] agent · ARGV[3] incarnation · ARGV[4] parent, or '' · ARGV[5] TTL, ms
-- ARGV[6] scope turn | own (turn becomes task while the agent has one) · ARGV[7..] resources
-- Returns {OK, token, …} in the order asked · {HELD, resource, value, PTTL in ms} · {GONE}.
-- include: clock
-- include: emit
local all_locks, locks = KEYS[3], KEYS[4]
local channels, agent, parent, ttl_ms, scope = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5]), ARGV[6]

local function passes(lock, resource)
  if not lock or lock.holder == agent then return true end
  return parent ~= '' and lock.holder == parent
end

local function read(resource)
  local value = redis.call('GET', locks .. resource)
  if not value then return nil, nil end
  local known, lock = pcall(cjson.decode, value)
  if not known or type(lock) ~= 'table' then lock = { holder = value } end
  return lock, value
end

local task
local function take(resource, before)
  local token = redis.call('INCR', KEYS[6])
  local lock = { holder = agent, token = tostring(token), scope = task and scope == 'turn' and 'task' or scope, task = task, since_ms = now_ms() }
  redis.call('SET', locks .. resource, cjson.encode(lock), 'PX', ttl_ms)
  redis.call('SADD', all_locks .. agent, resource)
  if before then redis.call('SREM', all_locks .. before.holder, resource) end
  redis.call('SADD', KEYS[5], resource)
  emit(KEYS[7], channels, 'lock_acquired', { resource = resource, agent = agent, token = lock.token, task = task })
  return lock.token
end

if redis.call('HGET', KEYS[1], agent) ~= ARGV[3] then return { 'GONE' } end
local held = {}
for i = 7, #ARGV do
  local lock, value = read(ARGV[i])
  if not passes(lock, ARGV[i]) then return { 'HELD', ARGV[i], value, redis.call('PTTL', locks .. ARGV[i]) } end
  held[i] = lock
end
task = redis.call('SRANDMEMBER', KEYS[2]) or nil
local reply = { 'OK' }
for i = 7, #ARGV do
  local resource, lock = ARGV[i], held[i]
  if lock and (lock.holder == agent or string.sub(resource, 1, 5) ~= 'path:') then
    if redis.call('PTTL', locks .. resource) < ttl_ms then redis.call('PEXPIRE', locks .. resource, ttl_ms) end
    reply[#reply + 1] = lock.token or ''
  else
    reply[#reply + 1] = take(resource, lock)
  end
end
return reply
