-- A work queue; ends the script where one of its keys is spoiled.
-- count(what, n): one more of the queue's own counts, or `n` more. left_ms: for how long the queue
-- lives. renew(ttl, more_ms): the whole queue lives on, and more_ms longer.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · queue_returned(queue) ZSET ·
--   queue_items(queue) HASH · queue_dead(queue) ZSET · queue_stats(queue) HASH
-- include: expect
-- include: lifetime
local spoiled = expect('LLEN', K.queue)
  or expect('ZCARD', K.queue_leased, K.queue_returned, K.queue_dead)
  or expect('HLEN', K.queue_items, K.queue_stats)
if spoiled then return spoiled end

local left_ms = redis.call('PTTL', K.queue_stats)

local function count(what, n)
  redis.pcall('HINCRBY', K.queue_stats, what, n or 1) -- what was spoiled by hand stays as it is
end

local function renew(ttl, more_ms)
  local ms = lifetime(ttl, left_ms)
  keep(ms == 0 and 0 or ms + more_ms, K.queue, K.queue_leased, K.queue_returned, K.queue_items,
    K.queue_dead, K.queue_stats)
end
