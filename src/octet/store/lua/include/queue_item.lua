-- An item that was given out at least once is known by the token of its last delivery. Its record
-- in queues:items is `<deliveries> <most deliveries> <since when, ms> <worker>`, a line with the
-- reason why it came back, and the value as it was pushed. read_item(token): the item, nil where
-- there is none; write_item(token, item); bury_item(token, item, reason): a dead letter.
local function read_item(token)
  local n, most, at, worker, reason, value =
    string.match(redis.call('HGET', Q.items, token) or '', '^(%d+) (%d+) (%d+) (%S+)\n([^\n]*)\n(.*)$')
  if not n then return nil end
  return { deliveries = tonumber(n), most = tonumber(most), at = at, worker = worker, reason = reason, value = value }
end

local function write_item(token, item)
  redis.call('HSET', Q.items, token, string.format('%.0f %.0f %s %s\n%s\n', item.deliveries, item.most, item.at, item.worker, item.reason)
    .. item.value)
end

local function bury_item(token, item, reason)
  item.reason = reason
  write_item(token, item)
  redis.call('ZREM', Q.leased, token)
  redis.call('ZADD', Q.dead, now_ms(), token)
  count('died')
end
