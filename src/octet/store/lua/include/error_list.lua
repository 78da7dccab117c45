-- A list of errors is a LIST of JSON objects, the newest in front; what redis-cli LPUSHed is text.
-- Beside it stands a HASH: `fail_fast`, the number of errors that stops the work (none: nothing
-- does), `dropped`, how many old ones were cut off, and `at`, when the last one came.
-- add_error(fields) · count_errors(): how many there were, and 1 where that stops the work, else 0.
-- KEYS errors(name) LIST · errors_policy(name) HASH
-- include: clock
-- include: expect
local MAX_ERRORS = 10000

local function add_error(fields)
  fields.at_ms = now_ms()
  redis.call('LPUSH', K.errors, cjson.encode(fields))
  redis.call('HSET', K.errors_policy, 'at', string.format('%.0f', fields.at_ms))
  while redis.call('LLEN', K.errors) > MAX_ERRORS do
    redis.call('RPOP', K.errors)
    redis.pcall('HINCRBY', K.errors_policy, 'dropped', 1)
  end
end

local function count_errors()
  local dropped = number(redis.call('HGET', K.errors_policy, 'dropped'), 0)
  local count = redis.call('LLEN', K.errors) + dropped
  local limit = number(redis.call('HGET', K.errors_policy, 'fail_fast'), 0)
  return count, limit > 0 and count >= limit and 1 or 0
end
