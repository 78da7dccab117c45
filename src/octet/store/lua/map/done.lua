-- map/done.lua: an item of a parallel analysis is done: its result is kept and its lease ended, in
-- one step, so that a worker that is killed leaves both or neither. A lease that has run out still
-- counts until another worker has the item.
-- KEYS queue_leased(queue) ZSET · queue_items(queue) HASH · queue_stats(queue) HASH ·
--   map(name) HASH
-- ARGV ttl_ms · token · result
-- Returns {OK, how many are left} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: work_queue
-- include: queue_item
-- include: drained
-- include: map_record
spoiled = expect('HLEN', K.map)
if spoiled then return spoiled end
local item = read_item(A.token)
if not item or not redis.call('ZSCORE', K.queue_leased, A.token) then return { 'STALE' } end
record_result(item, A.result)
redis.call('ZREM', K.queue_leased, A.token)
redis.call('HDEL', K.queue_items, A.token)
count('done')
redis.call('HSET', K.queue_stats, 'last_ms', string.format('%.0f', now_ms()))
renew(A.ttl_ms, 0)
keep(lifetime(A.ttl_ms, left_ms), K.map)
wake(K.map, 'done')
return { 'OK', tell_if_drained() }
