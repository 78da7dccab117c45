-- The HASH of a parallel analysis has a field for each item: `<number>` while it has no result,
-- then `<number> <when, ms> <worker>` and a line with the result. Its items wait, are leased and
-- fail in the queue `map:<name>`. record_result(item, result)
-- KEYS map(name) HASH
-- include: clock
local function record_result(item, result)
  local known = redis.call('HGET', K.map, item.value) or ''
  local n = string.match(known, '^%d+') or string.format('%.0f', redis.call('HLEN', K.map) + 1)
  local head = string.format('%s %.0f %s\n', n, now_ms(), item.worker)
  redis.call('HSET', K.map, item.value, head .. result)
end
