-- counter/add.lua: add to a counter, which plain INCR counts up as well, and tell whoever waits for
-- it.
-- KEYS counter(name) STRING
-- ARGV ttl_ms · by
-- Returns {OK, value} · {NUMBER, value} that cannot be added to · {SPOILED, key}.
-- include: expect
-- include: lifetime
local spoiled = expect('STRLEN', KEYS[1])
if spoiled then return spoiled end
local ms = lifetime(ARGV[1], redis.call('PTTL', KEYS[1]))
local added = redis.pcall('INCRBY', KEYS[1], ARGV[2])
local value = redis.call('GET', KEYS[1]) or ''
if type(added) == 'table' then return { 'NUMBER', value } end
keep(ms, KEYS[1])
wake(KEYS[1], value)
return { 'OK', value }
