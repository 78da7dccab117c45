-- queue/ack.lua: an item is done. A lease that has run out still counts until another worker has
-- the item.
-- KEYS queue_leased(queue) ZSET · queue_items(queue) HASH
-- ARGV ttl_ms · token
-- Returns {OK, how many are left: ready, leased or coming back} · {STALE} · {SPOILED, key}.
-- include: work_queue
-- include: drained
if redis.call('ZREM', K.queue_leased, A.token) == 0 then return { 'STALE' } end
redis.call('HDEL', K.queue_items, A.token)
count('done')
renew(A.ttl_ms, 0)
return { 'OK', tell_if_drained() }
