-- lock/list.lua: every lock in force, with its TTL and who waits for it; forgets the names of those
-- that ran out.
-- KEYS locks_index ZSET · lock* STRING
-- Returns {OK, resource, value, PTTL in ms, waiting array, …}; of each that waits, oldest first:
--   agent, since when in ms.
-- include: clock
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
local K, reply = { index = KEYS[1], locks = KEYS[2] }, { 'OK' }
for _, resource in ipairs(redis.call('ZRANGE', K.index, 0, -1)) do
  local _, value = read_lock(K.locks .. resource)
  if value then
    local waiting = {}
    for _, waiter in ipairs(waiters(K)) do
      if wants(waiter, { resource }) then
        waiting[#waiting + 1], waiting[#waiting + 2] = waiter.agent, string.format('%.0f', waiter.since)
      end
    end
    for _, part in ipairs({ resource, value, redis.call('PTTL', K.locks .. resource), waiting }) do reply[#reply + 1] = part end
  else
    strike(K, resource)
  end
end
return reply
