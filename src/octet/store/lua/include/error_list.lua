-- A list of errors is a LIST of JSON objects, the newest in front; what redis-cli LPUSHed is text.
-- Beside it a HASH: `fail_fast`, the number of errors that stops the work (none: nothing does),
-- `dropped`, how many old ones gave way, and `at`, when the last one came. add_error(list, policy,
-- fields); count_errors(list, policy): how many there were, and 1 where that stops the work, else
-- 0.
local MOST_ERRORS = 10000

local function add_error(list, policy, fields)
  fields.at_ms = now_ms()
  redis.call('LPUSH', list, cjson.encode(fields))
  redis.call('HSET', policy, 'at', string.format('%.0f', fields.at_ms))
  while redis.call('LLEN', list) > MOST_ERRORS do
    redis.call('RPOP', list)
    redis.pcall('HINCRBY', policy, 'dropped', 1)
  end
end

local function count_errors(list, policy)
  local n = redis.call('LLEN', list) + number(redis.call('HGET', policy, 'dropped'), 0)
  local most = number(redis.call('HGET', policy, 'fail_fast'), 0)
  return n, most > 0 and n >= most and 1 or 0
end
