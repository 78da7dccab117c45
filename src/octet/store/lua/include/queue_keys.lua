-- The keys of a work queue, in the order in which `Queue` passes them; ends the script where one is
-- spoiled.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · queue_returned(queue) ZSET ·
--   queue_items(queue) HASH · queue_dead(queue) ZSET · queue_stats(queue) HASH
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
