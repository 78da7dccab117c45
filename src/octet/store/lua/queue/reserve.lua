-- queue/reserve.lua: give one item to one worker for a time: first one that came back, then the
-- oldest. A worker that died is seen here: when its lease has run out, its item is the next, or a
-- dead letter when it was given out as often as it may be.
-- KEYS token STRING
-- ARGV ttl_ms · worker · lease_ms: 0: the item is the worker's for good · max_deliveries
-- Returns {OK, token, value, deliveries, end of the lease (ms)} · {EMPTY, ms until an item may come
--   back, -1: none will} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
-- include: queue_item
-- include: queue_left
local MOST_BURIED = 100 -- a call stays short; the rest is buried by those that follow
spoiled = expect_number(KEYS[7])
if spoiled then return spoiled end
local now, lease_ms, found = now_ms(), tonumber(ARGV[3]), nil
local buried = false

local function head(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2]) or math.huge
end

local function next_back()
  local leased, leased_until = head(Q.leased)
  local returned, returned_at = head(Q.returned)
  if returned_at < leased_until then return returned, returned_at, false end
  return leased, leased_until, true
end

local token, due, was_leased = next_back()
for _ = 1, MOST_BURIED do
  if due > now or found then break end
  local item = read_item(token)
  if item and was_leased and item.deliveries >= item.most then
    bury_item(token, item, 'its lease ran out')
    buried = true
  else
    found = item
    redis.call('ZREM', was_leased and Q.leased or Q.returned, token)
    redis.call('HDEL', Q.items, token)
  end
  if not found then token, due, was_leased = next_back() end
end
if not found and due > now then
  local value = redis.call('RPOP', Q.ready)
  if value then found = { deliveries = 0, reason = '', value = value } end
end
if not found then
  if buried then
    renew(ARGV[1], 0)
    tell_if_drained()
  end
  return { 'EMPTY', due == math.huge and -1 or math.max(due - now, 0) }
end
token = string.format('%.0f', redis.call('INCR', KEYS[7]))
found.deliveries, found.most, found.at, found.worker = found.deliveries + 1, tonumber(ARGV[4]), string.format('%.0f', now), ARGV[2]
count('given')
if lease_ms > 0 then
  write_item(token, found)
  redis.call('ZADD', Q.leased, now + lease_ms, token)
else
  count('done')
  tell_if_drained()
end
renew(ARGV[1], lease_ms)
return { 'OK', token, found.value, found.deliveries, string.format('%.0f', now + lease_ms) }
