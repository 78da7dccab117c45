-- agent/heartbeat.lua: renew an agent's lease, and with it every lock it holds.
-- KEYS incarnations HASH · heartbeat(agent) STRING · agent_locks(agent) SET · lock* STRING
-- ARGV agent · incarnation · lease_ms · lock_ms: the least TTL of a lock after the renewal
-- Returns {OK} · {GONE}.
-- include: read_lock
local least_ms = tonumber(A.lock_ms)

if redis.call('HGET', K.incarnations, A.agent) ~= A.incarnation then return { 'GONE' } end
-- A set that was spoiled by hand must not make a living agent expire.
if type(redis.pcall('SCARD', K.agent_locks)) == 'table' then redis.call('DEL', K.agent_locks) end
redis.call('SET', K.heartbeat, A.incarnation, 'PX', A.lease_ms)
for _, resource in ipairs(redis.call('SMEMBERS', K.agent_locks)) do
  local key = K.lock .. resource
  local lock, ttl_ms = read_lock(key), redis.call('PTTL', key)
  if not lock or lock.holder ~= A.agent then
    redis.call('SREM', K.agent_locks, resource)
  elseif ttl_ms >= 0 and ttl_ms < least_ms then
    redis.call('PEXPIRE', key, least_ms)
  end
end
return { 'OK' }
