-- map/start.lua: the items of a parallel analysis: each that is new goes into its queue, all in one
-- step and in their order.
-- KEYS queue(queue) LIST · queue_stats(queue) HASH · map(name) HASH
-- ARGV ttl_ms: as in include/lifetime.lua · items…
-- Returns {OK, how many were new, how many there are} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: work_queue
spoiled = expect('HLEN', K.map)
if spoiled then return spoiled end
local known, new = redis.call('HLEN', K.map), 0
for _, item in ipairs(A.items) do
  if redis.call('HEXISTS', K.map, item) == 0 then
    new = new + 1
    redis.call('HSET', K.map, item, string.format('%.0f', known + new))
    redis.call('LPUSH', K.queue, item)
  end
end
count('pushed', new)
if redis.call('HEXISTS', K.queue_stats, 'first_ms') == 0 then
  redis.call('HSET', K.queue_stats, 'first_ms', string.format('%.0f', now_ms()))
end
renew(A.ttl_ms, 0)
keep(lifetime(A.ttl_ms, left_ms), K.map)
wake(K.queue, 'pushed')
return { 'OK', new, known + new }
