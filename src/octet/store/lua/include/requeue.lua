-- requeue(id, agent, why, counts): end the agent's claim without a result: back to its queue, or
-- dead after max_attempts, which the build and each gate count for themselves: a task that ends
-- badly every time must not go round for ever. `counts` false takes the attempt back. Returns the
-- new state; nil when the agent does not hold the task. The task's `ended` lists how its last
-- attempts ended, a JSON array of {attempt, stage, agent, reason, at_ms}, the oldest first.
-- expect_queues(): nil, or the refusal to return because a key that requeue writes is spoiled.
-- KEYS task* HASH · priority ZSET · state* ZSET · queues SET · scopes HASH
-- include: clock
-- include: expect
-- include: emit
-- include: task_queues
-- include: task_facts
local MAX_ENDED = 20

local function add_ended(key, entry)
  local known, ended = pcall(cjson.decode, redis.call('HGET', key, 'ended') or '[]')
  if not known or type(ended) ~= 'table' or #ended == 0 then ended = {} end
  ended[#ended + 1] = entry
  while #ended > MAX_ENDED do table.remove(ended, 1) end
  local encodes, text = pcall(cjson.encode, ended) -- a list made by hand may not encode
  redis.call('HSET', key, 'ended', encodes and text or cjson.encode({ entry }))
end

local function requeue(id, agent, why, counts)
  local key = K.task .. id
  local task = facts_of(key)
  if not task or task.holder ~= agent or not WORKING[task.state] then return nil end
  local build, stage = task.state == 'claimed', task.stage
  local counter = build and 'attempts' or 'gate_attempts'
  local f = redis.call('HMGET', key, counter, 'max_attempts')
  local attempts, state = number(f[1], 0), build and 'pending' or 'submitted'
  local ended = { attempt = build and attempts or attempts + 1, stage = stage, agent = agent,
    reason = brief(why), at_ms = now_ms() }
  if build and not counts then attempts = math.max(0, attempts - 1) end -- its claim counted it
  if not build and counts then attempts = attempts + 1 end
  if counts and attempts >= number(f[2], 3) then state = 'dead' end
  move(id, task.state, state)
  if state == 'pending' then queue_work(id, task.work, task.needs, task.priority, task.order) end
  if state == 'submitted' then queue_at_gate(id, stage, task.priority, task.order) end
  if build or state == 'dead' then redis.call('HDEL', K.scopes, id) end
  redis.call('HSET', key, 'state', state, 'stage', stage, 'holder', '', counter, attempts,
    'updated_ms', now_ms(), 'last_reason', why)
  if counts then add_ended(key, ended) end
  emit(state == 'dead' and 'task_dead' or 'task_released', { task = id, title = task.title,
    agent = agent, stage = stage, reason = brief(why), attempts = attempts })
  return state
end

local function expect_queues()
  return expect('ZCARD', K.priority, K.state .. 'claimed', K.state .. 'in-review',
      K.state .. 'testing', K.state .. 'merging', K.state .. 'submitted', K.state .. 'dead')
    or expect('SCARD', K.queues) or expect('HLEN', K.scopes)
end
