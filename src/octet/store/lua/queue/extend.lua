-- queue/extend.lua: extend the item's lease: it ends lease_ms from now. A lease that ran out is
-- good again if no other worker has the item.
-- KEYS queue_leased(queue) ZSET
-- ARGV ttl_ms · token · lease_ms
-- Returns {OK, end of the lease (ms)} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: work_queue
if not redis.call('ZSCORE', K.queue_leased, A.token) then return { 'STALE' } end
local lease_ms = tonumber(A.lease_ms)
local ends = string.format('%.0f', now_ms() + lease_ms)
redis.call('ZADD', K.queue_leased, ends, A.token)
renew(A.ttl_ms, lease_ms)
return { 'OK', ends }
