-- A pipeline is a HASH: `n`, the number of its steps, and of step i `i:name`, `i:state` (waiting,
-- running, done, failed), `i:result` (of a failed one the reason), `i:worker`, `i:at` (since when,
-- ms), `i:until` (the end of the worker's lease, ms), `i:token` and `i:tries`.
-- step_count() · step_field(i, field): '' for none · set_step(i, field, value, …)
-- KEYS pipeline(name) HASH
-- include: expect
local MAX_STEPS = 100

local function step_count()
  return math.min(number(redis.call('HGET', K.pipeline, 'n'), 0), MAX_STEPS)
end

local function step_field(i, field)
  return redis.call('HGET', K.pipeline, string.format('%d:%s', i, field)) or ''
end

local function set_step(i, ...)
  local pairs_given = { ... }
  for j = 1, #pairs_given, 2 do
    redis.call('HSET', K.pipeline, string.format('%d:%s', i, pairs_given[j]), pairs_given[j + 1])
  end
end
