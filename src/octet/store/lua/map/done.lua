-- map/done.lua: an item of a parallel analysis is done: its result is kept and its lease ended, in
-- one step, so that a worker that is killed leaves both or neither. A lease that has run out still
-- counts until somebody else has the item.
-- KEYS map(name) HASH
-- ARGV ttl_ms · token · result
-- Returns {OK, how many are left} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
-- include: queue_item
-- include: queue_left
-- include: map_record
spoiled = expect('HLEN', KEYS[7])
if spoiled then return spoiled end
local item = read_item(ARGV[2])
if not item or not redis.call('ZSCORE', Q.leased, ARGV[2]) then return { 'STALE' } end
record_result(KEYS[7], item, ARGV[3])
redis.call('ZREM', Q.leased, ARGV[2])
redis.call('HDEL', Q.items, ARGV[2])
count('done')
redis.call('HSET', Q.stats, 'last_ms', string.format('%.0f', now_ms()))
renew(ARGV[1], 0)
keep(lifetime(ARGV[1], left_ms), KEYS[7])
wake(KEYS[7], 'done')
return { 'OK', tell_if_drained() }
