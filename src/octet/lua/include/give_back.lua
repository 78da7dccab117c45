-- give_back(K, id, agent, why, counts): end a claim without a result: back to its queue, or dead after max_attempts.
-- K: tasks prefix, priority ZSET, stages prefix, states prefix, log, channels. `counts` false takes the attempt back.
local function give_back(K, id, agent, why, counts)
  local key = K.tasks .. id
  local task = redis.call('HMGET', key, 'state', 'stage', 'priority', 'order', 'attempts', 'max_attempts', 'holder', 'title')
  if not task[1] or task[7] ~= agent then return nil end
  local build = task[2] == 'build'
  local attempts = tonumber(task[5])
  if build and not counts then attempts = redis.call('HINCRBY', key, 'attempts', -1) end
  local state = build and 'pending' or 'submitted'
  if counts and build and attempts >= tonumber(task[6]) then state = 'dead' end
  redis.call('ZREM', K.states .. task[1], id)
  if state == 'dead' then
    redis.call('ZADD', K.states .. state, now_ms(), id)
  else
    if not build then redis.call('ZADD', K.states .. state, now_ms(), id) end
    enqueue(build and K.priority or (K.stages .. task[2]), id, tonumber(task[3]), tonumber(task[4]))
  end
  redis.call('HSET', key, 'state', state, 'holder', '', 'updated_ms', now_ms(), 'last_reason', why)
  emit(K.log, K.channels, state == 'dead' and 'task_dead' or 'task_released',
    { task = id, title = task[8], agent = agent, reason = why, attempts = attempts })
  return state
end
