-- free_locks(set, agent, wanted): delete the agent's locks for which wanted(lock) is true, and call
-- the waiters; returns their resources. `set` is the SET of the agent's resources; a lock there
-- that expired or passed on is only forgotten.
-- KEYS lock* STRING
-- include: emit
-- include: read_lock
-- include: lock_paths
-- include: lock_queue
local function free_locks(set, agent, wanted)
  local freed = {}
  for _, resource in ipairs(redis.call('SMEMBERS', set)) do
    local lock = read_lock(K.lock .. resource)
    if not lock or lock.holder ~= agent then
      redis.call('SREM', set, resource)
    elseif wanted(lock) then
      redis.call('DEL', K.lock .. resource)
      unlist_lock(resource)
      redis.call('SREM', set, resource)
      emit('lock_released', { resource = resource, agent = agent, task = lock.task })
      freed[#freed + 1] = resource
    end
  end
  call_next(freed)
  return freed
end
