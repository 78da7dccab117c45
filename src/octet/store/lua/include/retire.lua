-- retire(agent, why, counts): take an agent off the registry: its claims are requeued, its locks
-- freed, its places in queues given up; where it led as orchestrator, the next one does. Returns
-- the tasks and the resources it had. Nothing that stands in the agent's own keys may stop this.
-- An agent that expired for want of a heartbeat may be alive: under its process stands for a week
-- what became of it, so that it can be told, and come back as who it was, unless it leaves by
-- itself. record_of(agent): its registry entry, an empty table for one that was spoiled by hand.
-- KEYS registry HASH · incarnations HASH · processes HASH · heartbeat* STRING · claims* SET ·
--   agent_locks* SET · task* HASH · expiry* STRING · candidates ZSET
-- include: clock
-- include: expect
-- include: emit
-- include: requeue
-- include: free_locks
-- include: lock_queue
-- include: elect_leader
local EXPIRY_MS = 604800000

local function text_of(value) return type(value) == 'string' and value or '' end

local function record_of(agent)
  local known, record = pcall(cjson.decode, redis.call('HGET', K.registry, agent) or '')
  return known and type(record) == 'table' and record or {}
end

local function forget_process(agent, process)
  if type(process) == 'string' and redis.call('HGET', K.processes, process) == agent then
    redis.call('HDEL', K.processes, process)
  elseif type(process) ~= 'string' then
    local all = redis.call('HGETALL', K.processes)
    for i = 1, #all, 2 do
      if all[i + 1] == agent then redis.call('HDEL', K.processes, all[i]) end
    end
  end
end

local function requeue_claims(agent, why, counts)
  local tasks, attempts = {}, {}
  for _, id in ipairs(redis.call('SMEMBERS', K.claims .. agent)) do
    if requeue(id, agent, why, counts) then
      tasks[#tasks + 1] = id
      attempts[#attempts + 1] = redis.call('HGET', K.task .. id, 'attempts') or '0'
    end
  end
  redis.call('DEL', K.claims .. agent)
  return tasks, attempts
end

local function retire(agent, why, counts)
  for _, set in ipairs({ K.claims .. agent, K.agent_locks .. agent }) do
    if expect('SCARD', set) then redis.call('DEL', set) end
  end
  local tasks, attempts = requeue_claims(agent, why, counts)
  leave_queue(function(waiter) return waiter.agent == agent end)
  local freed = free_locks(K.agent_locks .. agent, agent, function() return true end)
  local record, named = record_of(agent), table.concat(tasks, ' ')
  local process, role = record.process, text_of(record.role)
  forget_process(agent, process)
  if why == 'expired' and text_of(process) ~= '' then
    local kept = { agent = agent, role = role, host = text_of(record.host), at_ms = now_ms(),
      worktree = text_of(record.worktree), tasks = named, locks = #freed }
    kept.attempts = table.concat(attempts, ' ')
    redis.call('SET', K.expiry .. process, cjson.encode(kept), 'PX', EXPIRY_MS)
  elseif why == 'left' and type(process) == 'string' then
    redis.call('DEL', K.expiry .. process)
  end
  redis.call('HDEL', K.registry, agent)
  redis.call('HDEL', K.incarnations, agent)
  redis.call('DEL', K.heartbeat .. agent)
  redis.call('ZREM', K.candidates, agent)
  emit((why == 'died' or why == 'expired') and 'agent_died' or 'agent_left',
    { agent = agent, role = role, reason = why, tasks = named, locks = #freed })
  elect()
  return tasks, freed
end
