-- counter/add.lua: add to a counter, as plain INCR does, and tell those that wait for it.
-- KEYS counter(name) STRING
-- ARGV ttl_ms · by
-- Returns {OK, value} · {NUMBER, value} that cannot be added to · {SPOILED, key}.
-- include: expect
-- include: lifetime
local spoiled = expect('STRLEN', K.counter)
if spoiled then return spoiled end
local ms = lifetime(A.ttl_ms, redis.call('PTTL', K.counter))
local added = redis.pcall('INCRBY', K.counter, A.by)
local value = redis.call('GET', K.counter) or ''
if type(added) == 'table' then return { 'NUMBER', value } end
keep(ms, K.counter)
wake(K.counter, value)
return { 'OK', value }
