-- agent/heartbeat.lua: renew an agent's lease, and with it every lock it holds.
-- KEYS incarnations HASH · heartbeat(agent) STRING · agent_locks(agent) SET · lock* STRING
-- ARGV agent · incarnation · lease_ms · lock_ms: the least TTL of a lock after the renewal
-- Returns {OK} · {GONE}.
-- include: read_lock
local agent, least_ms = ARGV[1], tonumber(ARGV[4])

if redis.call('HGET', KEYS[1], agent) ~= ARGV[2] then return { 'GONE' } end
if type(redis.pcall('SCARD', KEYS[3])) == 'table' then redis.call('DEL', KEYS[3]) end -- made by hand: a living agent must not expire by it
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
for _, resource in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local key = KEYS[4] .. resource
  local lock, ttl_ms = read_lock(key), redis.call('PTTL', key)
  if not lock or lock.holder ~= agent then
    redis.call('SREM', KEYS[3], resource)
  elseif ttl_ms >= 0 and ttl_ms < least_ms then
    redis.call('PEXPIRE', key, least_ms)
  end
end
return { 'OK' }
