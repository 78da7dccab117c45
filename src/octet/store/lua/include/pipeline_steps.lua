-- A pipeline is a HASH: `n`, how many steps it has, and of step i `i:name`, `i:state` (waiting,
-- running, done, failed), `i:result` (of a failed one the reason), `i:worker`, `i:at` (since when,
-- ms), `i:until` (the end of the worker's lease, ms), `i:token` and `i:tries`. many_steps(key);
-- step_field(key, i, field), '' for none; set_step(key, i, field, value, …)
local MOST_STEPS = 100

local function many_steps(key) return math.min(number(redis.call('HGET', key, 'n'), 0), MOST_STEPS) end

local function step_field(key, i, field) return redis.call('HGET', key, string.format('%d:%s', i, field)) or '' end

local function set_step(key, i, ...)
  local given = { ... }
  for j = 1, #given, 2 do redis.call('HSET', key, string.format('%d:%s', i, given[j]), given[j + 1]) end
end
