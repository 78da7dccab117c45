-- queue/extend.lua: a worker goes on with its item: the lease ends so long from now. One that ran
-- out is revived if nobody has the item.
-- ARGV ttl_ms · token · lease_ms
-- Returns {OK, end of the lease (ms)} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
if not redis.call('ZSCORE', Q.leased, ARGV[2]) then return { 'STALE' } end
local ends = string.format('%.0f', now_ms() + tonumber(ARGV[3]))
redis.call('ZADD', Q.leased, ends, ARGV[2])
renew(ARGV[1], tonumber(ARGV[3]))
return { 'OK', ends }
