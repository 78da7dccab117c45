-- queue/reserve.lua: give one item to one worker for a time: first one that came back, then the
-- oldest. A worker that died is seen here: when its lease has run out, its item is the next, or a
-- dead letter when it was given out as often as it may be.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · queue_returned(queue) ZSET ·
--   queue_items(queue) HASH · token STRING
-- ARGV ttl_ms · worker · lease_ms: 0: the item is the worker's for good · max_deliveries
-- Returns {OK, token, value, deliveries, end of the lease (ms)} · {EMPTY, ms until an item may come
--   back, -1: none will} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: work_queue
-- include: queue_item
-- include: drained
local MAX_DROPPED = 100 -- a call stays short; the calls that follow drop the rest
spoiled = expect_number(K.token)
if spoiled then return spoiled end
local now, lease_ms, found, dropped = now_ms(), tonumber(A.lease_ms), nil, false

local function head(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2]) or math.huge
end

local function next_back()
  local leased, leased_until = head(K.queue_leased)
  local returned, returned_at = head(K.queue_returned)
  if returned_at < leased_until then return returned, returned_at, false end
  return leased, leased_until, true
end

local token, due, was_leased = next_back()
for _ = 1, MAX_DROPPED do
  if due > now or found then break end
  local item = read_item(token)
  if item and was_leased and item.deliveries >= item.max then
    drop_item(token, item, 'its lease ran out')
    dropped = true
  else
    found = item
    redis.call('ZREM', was_leased and K.queue_leased or K.queue_returned, token)
    redis.call('HDEL', K.queue_items, token)
  end
  if not found then token, due, was_leased = next_back() end
end
if not found and due > now then
  local value = redis.call('RPOP', K.queue)
  if value then found = { deliveries = 0, reason = '', value = value } end
end
if not found then
  if dropped then
    renew(A.ttl_ms, 0)
    tell_if_drained()
  end
  return { 'EMPTY', due == math.huge and -1 or math.max(due - now, 0) }
end
token = string.format('%.0f', redis.call('INCR', K.token))
found.deliveries, found.max = found.deliveries + 1, tonumber(A.max_deliveries)
found.at, found.worker = string.format('%.0f', now), A.worker
count('given')
if lease_ms > 0 then
  write_item(token, found)
  redis.call('ZADD', K.queue_leased, now + lease_ms, token)
else
  count('done')
  tell_if_drained()
end
renew(A.ttl_ms, lease_ms)
return { 'OK', token, found.value, found.deliveries, string.format('%.0f', now + lease_ms) }
