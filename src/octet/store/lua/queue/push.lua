-- queue/push.lua: put values at the end of a work queue, all in one step and in their order; plain
-- LPUSH does the same for one.
-- ARGV ttl_ms: as in include/lifetime.lua · values…
-- Returns {OK, how many are ready now} · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: queue_keys
for i = 2, #ARGV do redis.call('LPUSH', Q.ready, ARGV[i]) end
count('pushed', #ARGV - 1)
renew(ARGV[1], 0)
wake(Q.ready, 'pushed')
return { 'OK', redis.call('LLEN', Q.ready) }
