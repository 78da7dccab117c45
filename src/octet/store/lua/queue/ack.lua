-- queue/ack.lua: an item is done. A lease that has run out still counts until somebody else has the
-- item.
-- ARGV ttl_ms · token
-- Returns {OK, how many are left: ready, leased or coming back} · {STALE} · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: queue_keys
-- include: queue_left
if redis.call('ZREM', Q.leased, ARGV[2]) == 0 then return { 'STALE' } end
redis.call('HDEL', Q.items, ARGV[2])
count('done')
renew(ARGV[1], 0)
return { 'OK', tell_if_drained() }
