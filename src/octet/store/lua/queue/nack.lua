-- queue/nack.lua: a worker gives an item back: it is the next, after a delay; or a dead letter, at
-- once or after its last delivery.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · queue_returned(queue) ZSET
-- ARGV ttl_ms · token · delay_ms · reason: one line · dead: 'dead', or '' to try again
-- Returns {OK, returned | dead} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: work_queue
-- include: queue_item
-- include: drained
local token, delay_ms = A.token, tonumber(A.delay_ms)
local item = read_item(token)
if not item or not redis.call('ZSCORE', K.queue_leased, token) then return { 'STALE' } end
local dead = A.dead == 'dead' or item.deliveries >= item.max
if dead then
  drop_item(token, item, A.reason)
else
  item.reason = A.reason
  write_item(token, item)
  redis.call('ZREM', K.queue_leased, token)
  redis.call('ZADD', K.queue_returned, now_ms() + delay_ms, token)
  count('returned')
  wake(K.queue, 'returned')
end
renew(A.ttl_ms, delay_ms)
tell_if_drained()
return { 'OK', dead and 'dead' or 'returned' }
