-- retire(K, agent, why, counts): take an agent off the registry: its claims go back, its locks are
-- freed, its places in queues are given up; where it led as orchestrator, the next one does. K:
-- registry HASH, incarnations HASH, processes HASH, heartbeats prefix, claims prefix, all_locks
-- prefix, and what give_back, free_locks and elect take; buried prefix. What was buried for want of
-- a heartbeat may be alive: under its process stands for a week what became of it, so that it can
-- be told, and come back as who it was, unless it leaves by itself.
-- Returns the tasks and the resources it had. Nothing that stands in the agent's own keys may keep
--   it from ending. record_of(K, agent): its registry entry, an empty table for one that somebody
--   spoiled by hand.
local function record_of(K, agent)
  local known, record = pcall(cjson.decode, redis.call('HGET', K.registry, agent) or '')
  return known and type(record) == 'table' and record or {}
end

local function forget_process(K, agent, process)
  if type(process) == 'string' and redis.call('HGET', K.processes, process) == agent then
    redis.call('HDEL', K.processes, process)
  elseif type(process) ~= 'string' then
    local all = redis.call('HGETALL', K.processes)
    for i = 1, #all, 2 do
      if all[i + 1] == agent then redis.call('HDEL', K.processes, all[i]) end
    end
  end
end

local function retire(K, agent, why, counts)
  for _, sets in ipairs({ K.claims, K.all_locks }) do
    if expect('SCARD', sets .. agent) then redis.call('DEL', sets .. agent) end
  end
  local tasks, attempts = {}, {}
  for _, id in ipairs(redis.call('SMEMBERS', K.claims .. agent)) do
    if give_back(K, id, agent, why, counts) then
      tasks[#tasks + 1] = id
      attempts[#attempts + 1] = redis.call('HGET', K.tasks .. id, 'attempts') or '0'
    end
  end
  redis.call('DEL', K.claims .. agent)
  K.agent_locks = K.all_locks .. agent
  leave_queue(K, function(waiter) return waiter.agent == agent end)
  local freed = free_locks(K, agent, function() return true end)
  local record = record_of(K, agent)
  forget_process(K, agent, record.process)
  if why == 'expired' and type(record.process) == 'string' and record.process ~= '' then
    local function text(value) return type(value) == 'string' and value or '' end
    local left = cjson.encode({ agent = agent, role = text(record.role), host = text(record.host), worktree = text(record.worktree),
      at_ms = now_ms(), tasks = table.concat(tasks, ' '), attempts = table.concat(attempts, ' '), locks = #freed })
    redis.call('SET', K.buried .. record.process, left, 'PX', 604800000)
  elseif why == 'left' and type(record.process) == 'string' then
    redis.call('DEL', K.buried .. record.process)
  end
  redis.call('HDEL', K.registry, agent)
  redis.call('HDEL', K.incarnations, agent)
  redis.call('DEL', K.heartbeats .. agent)
  redis.call('ZREM', K.candidates, agent)
  local role = type(record.role) == 'string' and record.role or ''
  emit(K.log, K.channels, (why == 'died' or why == 'expired') and 'agent_died' or 'agent_left',
    { agent = agent, role = role, reason = why, tasks = table.concat(tasks, ' '), locks = #freed })
  elect(K)
  return tasks, freed
end
