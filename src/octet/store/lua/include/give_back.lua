-- give_back(K, id, agent, why, counts): end the agent's claim without a result: back to its queue,
-- or dead after max_attempts, which the build and each gate have for themselves: one that ends
-- badly every time must not go round for ever. K: tasks prefix, priority ZSET, stages prefix,
-- states prefix, queues SET, scopes HASH, log, channels. `counts` false takes the attempt back.
-- Returns the new state; nil when the agent does not hold the task. The task's `ended` lists how
-- its last attempts ended, a JSON array of {attempt, stage, agent, reason, at_ms}, the oldest
-- first.
local MOST_ENDED = 20

local function add_ended(key, entry)
  local known, ended = pcall(cjson.decode, redis.call('HGET', key, 'ended') or '[]')
  if not known or type(ended) ~= 'table' or #ended == 0 then ended = {} end
  ended[#ended + 1] = entry
  while #ended > MOST_ENDED do table.remove(ended, 1) end
  local encodes, text = pcall(cjson.encode, ended) -- what was written by hand may hold what can be read and not written
  redis.call('HSET', key, 'ended', encodes and text or cjson.encode({ entry }))
end

local function give_back(K, id, agent, why, counts)
  local key = K.tasks .. id
  local task = facts_of(key)
  if not task or task.holder ~= agent or not WORKING[task.state] then return nil end
  local build = task.state == 'claimed'
  local counter = build and 'attempts' or 'gate_attempts'
  local f = redis.call('HMGET', key, counter, 'max_attempts')
  local attempts, state = number(f[1], 0), build and 'pending' or 'submitted'
  local ended = { attempt = build and attempts or attempts + 1, stage = task.stage, agent = agent, reason = brief(why), at_ms = now_ms() }
  if build and not counts then attempts = math.max(0, attempts - 1) end -- its claim had counted it
  if not build and counts then attempts = attempts + 1 end
  if counts and attempts >= number(f[2], 3) then state = 'dead' end
  move(K, id, task.state, state)
  if state == 'pending' then to_work(K, id, task.work, task.needs, task.priority, task.order) end
  if state == 'submitted' then to_gate(K, id, task.stage, task.priority, task.order) end
  if build or state == 'dead' then redis.call('HDEL', K.scopes, id) end
  redis.call('HSET', key, 'state', state, 'stage', task.stage, 'holder', '', counter, attempts, 'updated_ms', now_ms(),
    'last_reason', why)
  if counts then add_ended(key, ended) end
  emit(K.log, K.channels, state == 'dead' and 'task_dead' or 'task_released',
    { task = id, title = task.title, agent = agent, stage = task.stage, reason = brief(why), attempts = attempts })
  return state
end

-- expect_queues(K): nil, or the refusal to return because a key that give_back writes is spoiled.
local function expect_queues(K)
  return expect('ZCARD', K.priority, K.states .. 'claimed', K.states .. 'in-review', K.states .. 'testing', K.states .. 'merging',
    K.states .. 'submitted', K.states .. 'dead') or expect('SCARD', K.queues) or expect('HLEN', K.scopes)
end
