-- The HASH of a parallel analysis has a field for each item: `<number>` while it has no result,
-- then `<number> <when, ms> <worker>` and a line with the result. Its items wait, are leased and
-- fail in the queue `map:<name>`. record_result(map, item, result)
local function record_result(map, item, result)
  local known = redis.call('HGET', map, item.value) or ''
  local n = string.match(known, '^%d+') or string.format('%.0f', redis.call('HLEN', map) + 1)
  redis.call('HSET', map, item.value, string.format('%s %.0f %s\n', n, now_ms(), item.worker) .. result)
end
