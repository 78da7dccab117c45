-- The keys of a work queue, in the order in which `Queue` passes them; ends the script where one is
-- spoiled.
-- KEYS[1] queue:<name> LIST · KEYS[2] queues:leased:<name> ZSET · KEYS[3] queues:returned:<name>
--   ZSET
-- KEYS[4] queues:items:<name> HASH · KEYS[5] queues:dead:<name> ZSET · KEYS[6] queues:stats:<name>
--   HASH count(what, n): one more of the queue's own counts, by default; renew(ttl, more_ms): the
--   whole queue lives on, and more_ms longer.
local Q = { ready = KEYS[1], leased = KEYS[2], returned = KEYS[3], items = KEYS[4], dead = KEYS[5], stats = KEYS[6] }
local spoiled = expect('LLEN', Q.ready) or expect('ZCARD', Q.leased, Q.returned, Q.dead) or expect('HLEN', Q.items, Q.stats)
if spoiled then return spoiled end

local left_ms = redis.call('PTTL', Q.stats)

local function count(what, n)
  redis.pcall('HINCRBY', Q.stats, what, n or 1) -- what was spoiled by hand stays as it is
end

local function renew(ttl, more_ms)
  local ms = lifetime(ttl, left_ms)
  keep(ms == 0 and 0 or ms + more_ms, Q.ready, Q.leased, Q.returned, Q.items, Q.dead, Q.stats)
end
