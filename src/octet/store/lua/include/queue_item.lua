-- An item that was given out at least once is known by the token of its last delivery. Its record
-- in queues:items is `<deliveries> <max deliveries> <since when, ms> <worker>`, a line with the
-- reason why it came back, and the value as it was pushed.
-- read_item(token): the item, nil where there is none; write_item(token, item);
-- drop_item(token, item, reason): it becomes a dead letter.
-- KEYS queue_items(queue) HASH · queue_leased(queue) ZSET · queue_dead(queue) ZSET
-- include: clock
-- include: work_queue
local function read_item(token)
  local n, max, at, worker, reason, value = string.match(
    redis.call('HGET', K.queue_items, token) or '', '^(%d+) (%d+) (%d+) (%S+)\n([^\n]*)\n(.*)$')
  if not n then return nil end
  return { deliveries = tonumber(n), max = tonumber(max), at = at, worker = worker,
    reason = reason, value = value }
end

local function write_item(token, item)
  local head = string.format('%.0f %.0f %s %s\n%s\n', item.deliveries, item.max, item.at,
    item.worker, item.reason)
  redis.call('HSET', K.queue_items, token, head .. item.value)
end

local function drop_item(token, item, reason)
  item.reason = reason
  write_item(token, item)
  redis.call('ZREM', K.queue_leased, token)
  redis.call('ZADD', K.queue_dead, now_ms(), token)
  count('died')
end
