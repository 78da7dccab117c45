-- kv/put.lua: leave a value under a key, and tell whoever waits for it.
-- KEYS kv(key) STRING
-- ARGV ttl_ms: 0: for ever · value · new: 'new': only where there is none, '' for any
-- Returns {OK} · {EXISTS} · {SPOILED, key}.
-- include: expect
-- include: lifetime
local spoiled = expect('STRLEN', KEYS[1])
if spoiled then return spoiled end
if ARGV[3] == 'new' and redis.call('EXISTS', KEYS[1]) == 1 then return { 'EXISTS' } end
redis.call('SET', KEYS[1], ARGV[2])
keep(tonumber(ARGV[1]), KEYS[1])
wake(KEYS[1], 'put')
return { 'OK' }
