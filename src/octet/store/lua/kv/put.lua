-- kv/put.lua: leave a value under a key, and tell those that wait for it.
-- KEYS kv(key) STRING
-- ARGV ttl_ms: 0 for ever · value · new: 'new': only where there is none, '' for any
-- Returns {OK} · {EXISTS} · {SPOILED, key}.
-- include: expect
-- include: lifetime
local spoiled = expect('STRLEN', K.kv)
if spoiled then return spoiled end
if A.new == 'new' and redis.call('EXISTS', K.kv) == 1 then return { 'EXISTS' } end
redis.call('SET', K.kv, A.value)
keep(tonumber(A.ttl_ms), K.kv)
wake(K.kv, 'put')
return { 'OK' }
