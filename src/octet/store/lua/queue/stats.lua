-- queue/stats.lua: the counts of a work queue, at one instant.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · queue_returned(queue) ZSET ·
--   queue_dead(queue) ZSET · queue_stats(queue) HASH
-- Returns {OK, ready, leased, of those run out, coming back, dead, {field, value, …} of all there
--   ever were} · {SPOILED, key}.
-- include: clock
-- include: work_queue
local ready, leased = redis.call('LLEN', K.queue), redis.call('ZCARD', K.queue_leased)
local run_out = redis.call('ZCOUNT', K.queue_leased, '-inf', now_ms())
local returned, dead = redis.call('ZCARD', K.queue_returned), redis.call('ZCARD', K.queue_dead)
return { 'OK', ready, leased, run_out, returned, dead, redis.call('HGETALL', K.queue_stats) }
