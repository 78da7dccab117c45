-- counter/set.lua: set a counter, and tell whoever waits for it.
-- KEYS counter(name) STRING
-- ARGV ttl_ms · value
-- Returns {OK} · {SPOILED, key}.
-- include: expect
-- include: lifetime
local spoiled = expect('STRLEN', KEYS[1])
if spoiled then return spoiled end
local ms = lifetime(ARGV[1], redis.call('PTTL', KEYS[1]))
redis.call('SET', KEYS[1], ARGV[2])
keep(ms, KEYS[1])
wake(KEYS[1], ARGV[2])
return { 'OK' }
