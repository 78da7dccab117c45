-- queue/push.lua: put values at the end of a work queue, all in one step and in their order; plain
-- LPUSH does the same for one.
-- KEYS queue(queue) LIST
-- ARGV ttl_ms: as in include/lifetime.lua · values…
-- Returns {OK, how many are ready now} · {SPOILED, key}.
-- include: work_queue
for _, value in ipairs(A.values) do redis.call('LPUSH', K.queue, value) end
count('pushed', #A.values)
renew(A.ttl_ms, 0)
wake(K.queue, 'pushed')
return { 'OK', redis.call('LLEN', K.queue) }
