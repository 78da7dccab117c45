-- lock_acquire.lua: take every resource named, or none. Re-entrant: what the agent holds is renewed and keeps its token.
-- A sub-agent may pass where its parent stands: a parent's path lock passes to it, any other lock of the parent is shared.
-- KEYS[1] agents:incarnations HASH · KEYS[2] agents:claims:<agent> SET · KEYS[3] agents:locks: prefix · KEYS[4] locks: prefix
-- KEYS[5] locks:index SET · KEYS[6] token STRING · KEYS[7] log STREAM
-- ARGV[1] channel prefix · ARGV[2] agent · ARGV[3] incarnation · ARGV[4] parent, or '' · ARGV[5] TTL, ms
-- ARGV[6] scope turn | own (turn becomes task while the agent has one; of two scopes asked for, the longer-lived holds)
-- ARGV[7..] resources
-- Returns {OK, token, …} in the order asked · {HELD, resource, value, PTTL in ms} · {GONE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: read_lock
local all_locks, locks, index = KEYS[3], KEYS[4], KEYS[5]
local channels, agent, parent, ttl_ms, scope = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local task
local strength = { turn = 1, task = 2, own = 3 }

local function renew(resource, lock)
  local key = locks .. resource
  local left_ms = redis.call('PTTL', key)
  if lock.holder == agent and strength[scope] > (strength[lock.scope] or 3) then
    local since_ms = number(lock.since_ms, now_ms())
    local stronger = { holder = agent, token = lock.token, scope = scope, task = lock.task or task, since_ms = since_ms }
    redis.call('SET', key, cjson.encode(stronger), 'KEEPTTL')
  end
  if left_ms >= 0 and left_ms < ttl_ms then redis.call('PEXPIRE', key, ttl_ms) end
  return lock.token
end

local function take(resource, before)
  local token = string.format('%.0f', redis.call('INCR', KEYS[6]))
  local lock = { holder = agent, token = token, scope = scope, task = task, since_ms = now_ms() }
  redis.call('SET', locks .. resource, cjson.encode(lock), 'PX', math.max(ttl_ms, redis.call('PTTL', locks .. resource)))
  redis.call('SADD', all_locks .. agent, resource)
  if before and before.holder ~= agent then redis.call('SREM', all_locks .. before.holder, resource) end
  redis.call('SADD', index, resource)
  emit(KEYS[7], channels, 'lock_acquired', { resource = resource, agent = agent, token = token, task = task })
  return token
end

if redis.call('HGET', KEYS[1], agent) ~= ARGV[3] then return { 'GONE' } end
local spoiled = expect('SCARD', KEYS[2], index, all_locks .. agent, all_locks .. (parent ~= '' and parent or agent))
  or expect_number(KEYS[6]) or expect('XLEN', KEYS[7])
if spoiled then return spoiled end
for i = 7, #ARGV do
  local lock, value = read_lock(locks .. ARGV[i])
  if lock and lock.holder ~= agent and (parent == '' or lock.holder ~= parent) then
    redis.call('SADD', index, ARGV[i]) -- one that was set by hand is listed from now on
    return { 'HELD', ARGV[i], value, redis.call('PTTL', locks .. ARGV[i]) }
  end
end
task = redis.call('SRANDMEMBER', KEYS[2]) or nil
if task and scope == 'turn' then scope = 'task' end
local reply = { 'OK' }
for i = 7, #ARGV do
  local resource, lock = ARGV[i], read_lock(locks .. ARGV[i])
  local kept = lock and lock.token and (lock.holder == agent or string.sub(resource, 1, 5) ~= 'path:')
  reply[#reply + 1] = kept and renew(resource, lock) or take(resource, lock)
end
return reply
