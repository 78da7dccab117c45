-- map/start.lua: the items of a parallel analysis: each that is new goes into its queue, all in one
-- step and in their order.
-- KEYS map(name) HASH
-- ARGV ttl_ms: as in include/lifetime.lua · items…
-- Returns {OK, how many were new, how many there are} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
spoiled = expect('HLEN', KEYS[7])
if spoiled then return spoiled end
local known, new = redis.call('HLEN', KEYS[7]), 0
for i = 2, #ARGV do
  if redis.call('HEXISTS', KEYS[7], ARGV[i]) == 0 then
    new = new + 1
    redis.call('HSET', KEYS[7], ARGV[i], string.format('%.0f', known + new))
    redis.call('LPUSH', Q.ready, ARGV[i])
  end
end
count('pushed', new)
if redis.call('HEXISTS', Q.stats, 'first_ms') == 0 then redis.call('HSET', Q.stats, 'first_ms', string.format('%.0f', now_ms())) end
renew(ARGV[1], 0)
keep(lifetime(ARGV[1], left_ms), KEYS[7])
wake(Q.ready, 'pushed')
return { 'OK', new, known + new }
