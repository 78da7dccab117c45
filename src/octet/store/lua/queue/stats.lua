-- queue/stats.lua: how a work queue stands, at one instant.
-- Returns {OK, ready, leased, of those run out, coming back, dead, {field, value, …} of all there
--   ever were} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
return { 'OK', redis.call('LLEN', Q.ready), redis.call('ZCARD', Q.leased), redis.call('ZCOUNT', Q.leased, '-inf', now_ms()),
  redis.call('ZCARD', Q.returned), redis.call('ZCARD', Q.dead), redis.call('HGETALL', Q.stats) }
