-- lock/list.lua: every lock in force, with its TTL and its waiters; forgets the names of those that
-- ran out.
-- KEYS lock* STRING · locks_index ZSET
-- Returns {OK, resource, value, PTTL in ms, waiting array, …}; of each waiter, oldest first: agent,
--   since when in ms.
-- include: read_lock
-- include: lock_paths
-- include: lock_queue
local reply = { 'OK' }

local function waiters_for(resource)
  local found = {}
  for _, waiter in ipairs(waiters()) do
    if wants(waiter, { resource }) then
      found[#found + 1] = waiter.agent
      found[#found + 1] = string.format('%.0f', waiter.since)
    end
  end
  return found
end

for _, resource in ipairs(redis.call('ZRANGE', K.locks_index, 0, -1)) do
  local key, n = K.lock .. resource, #reply
  local _, value = read_lock(key)
  if value then
    reply[n + 1], reply[n + 2], reply[n + 3] = resource, value, redis.call('PTTL', key)
    reply[n + 4] = waiters_for(resource)
  else
    unlist_lock(resource)
  end
end
return reply
