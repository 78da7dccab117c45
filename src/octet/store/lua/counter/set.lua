-- counter/set.lua: set a counter, and tell those that wait for it.
-- KEYS counter(name) STRING
-- ARGV ttl_ms · value
-- Returns {OK} · {SPOILED, key}.
-- include: expect
-- include: lifetime
local spoiled = expect('STRLEN', K.counter)
if spoiled then return spoiled end
local ms = lifetime(A.ttl_ms, redis.call('PTTL', K.counter))
redis.call('SET', K.counter, A.value)
keep(ms, K.counter)
wake(K.counter, A.value)
return { 'OK' }
