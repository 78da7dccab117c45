-- queue/nack.lua: an item is given back by its worker: it is the next, after a delay; or a dead
-- letter, at once or after its last delivery.
-- ARGV ttl_ms · token · delay_ms · reason: one line · dead: 'dead', or '' to try again
-- Returns {OK, returned | dead} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
-- include: queue_item
-- include: queue_left
local token = ARGV[2]
local item = read_item(token)
if not item or not redis.call('ZSCORE', Q.leased, token) then return { 'STALE' } end
local dead = ARGV[5] == 'dead' or item.deliveries >= item.most
if dead then
  bury_item(token, item, ARGV[4])
else
  item.reason = ARGV[4]
  write_item(token, item)
  redis.call('ZREM', Q.leased, token)
  redis.call('ZADD', Q.returned, now_ms() + tonumber(ARGV[3]), token)
  count('returned')
  wake(Q.ready, 'returned')
end
renew(ARGV[1], tonumber(ARGV[3]))
tell_if_drained()
return { 'OK', dead and 'dead' or 'returned' }
