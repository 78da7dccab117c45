-- give_back(K, id, agent, why, counts): end the agent's claim without a result: back to its queue, or dead after max_attempts.
-- K: tasks prefix, priority ZSET, stages prefix, states prefix, log, channels. `counts` false takes the attempt back.
-- Returns the new state; nil when the agent does not hold the task.
local function give_back(K, id, agent, why, counts)
  local key = K.tasks .. id
  local f = redis.pcall('HMGET', key, 'state', 'holder', 'priority', 'order', 'attempts', 'max_attempts', 'title')
  local build = f[1] == 'claimed'
  if f.err or f[2] ~= agent or not (build or f[1] == 'merging') then return nil end
  local attempts, state = number(f[5], 0), build and 'pending' or 'submitted'
  if build and not counts then attempts = math.max(0, attempts - 1) end
  if build and counts and attempts >= number(f[6], 3) then state = 'dead' end
  redis.call('ZREM', K.states .. f[1], id)
  if state ~= 'pending' then redis.call('ZADD', K.states .. state, now_ms(), id) end
  if state ~= 'dead' then
    enqueue(build and K.priority or (K.stages .. 'merge'), id, number(f[3], 0), number(f[4], 0))
  end
  redis.call('HSET', key, 'state', state, 'holder', '', 'attempts', attempts, 'updated_ms', now_ms(), 'last_reason', why)
  emit(K.log, K.channels, state == 'dead' and 'task_dead' or 'task_released',
    { task = id, title = f[7] or '', agent = agent, reason = brief(why), attempts = attempts })
  return state
end

-- expect_queues(K): nil, or the refusal to return because a key that give_back writes is spoiled.
local function expect_queues(K)
  return expect('ZCARD', K.priority, K.stages .. 'merge', K.states .. 'claimed', K.states .. 'merging', K.states .. 'submitted',
    K.states .. 'dead')
end
