-- lock_list.lua: every lock in force, with its TTL; forgets the names of those that ran out.
-- KEYS[1] locks:index SET · KEYS[2] locks: prefix
-- Returns {OK, resource, value, PTTL in ms, …}.
-- include: read_lock
local reply = { 'OK' }
for _, resource in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local _, value = read_lock(KEYS[2] .. resource)
  if value then
    reply[#reply + 1] = resource
    reply[#reply + 1] = value
    reply[#reply + 1] = redis.call('PTTL', KEYS[2] .. resource)
  else
    redis.call('SREM', KEYS[1], resource)
  end
end
return reply
