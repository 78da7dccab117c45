-- free_locks(K, agent, wanted): delete the agent's locks for which wanted(lock) is true, and call
-- who waits; returns their resources. K: agent_locks SET, locks prefix, index ZSET, log STREAM,
-- channels. A lock that expired or passed on is only forgotten.
local function free_locks(K, agent, wanted)
  local freed = {}
  for _, resource in ipairs(redis.call('SMEMBERS', K.agent_locks)) do
    local lock = read_lock(K.locks .. resource)
    if not lock or lock.holder ~= agent then
      redis.call('SREM', K.agent_locks, resource)
    elseif wanted(lock) then
      redis.call('DEL', K.locks .. resource)
      strike(K, resource)
      redis.call('SREM', K.agent_locks, resource)
      emit(K.log, K.channels, 'lock_released', { resource = resource, agent = agent, task = lock.task })
      freed[#freed + 1] = resource
    end
  end
  call_next(K, freed)
  return freed
end
