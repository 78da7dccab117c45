-- retire(K, agent, why, counts): take an agent off the registry: its claims go back, its locks are freed.
-- K: registry HASH, incarnations HASH, processes HASH, heartbeats prefix, claims prefix, all_locks prefix, and what give_back and free_locks take.
-- Returns the tasks and the resources it had.
local function retire(K, agent, why, counts)
  local tasks = redis.call('SMEMBERS', K.claims .. agent)
  for _, id in ipairs(tasks) do give_back(K, id, agent, why, counts) end
  redis.call('DEL', K.claims .. agent)
  K.agent_locks = K.all_locks .. agent
  local freed = free_locks(K, agent, function() return true end)
  local record = cjson.decode(redis.call('HGET', K.registry, agent) or '{}')
  if record.process and redis.call('HGET', K.processes, record.process) == agent then
    redis.call('HDEL', K.processes, record.process)
  end
  redis.call('HDEL', K.registry, agent)
  redis.call('HDEL', K.incarnations, agent)
  redis.call('DEL', K.heartbeats .. agent)
  emit(K.log, K.channels, (why == 'died' or why == 'expired') and 'agent_died' or 'agent_left',
    { agent = agent, role = record.role, reason = why, tasks = table.concat(tasks, ' '), locks = #freed })
  return tasks, freed
end
