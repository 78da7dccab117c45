-- state/incr.lua: add to a field of a shared state that holds a whole number, or nothing yet.
-- ARGV ttl_ms · field · by
-- Returns {OK, value, version} · {NUMBER, value} that cannot be added to · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: state_keys
local field = ARGV[2]
local added = redis.pcall('HINCRBY', state, field, ARGV[3])
local value = redis.call('HGET', state, field) or ''
if type(added) == 'table' then return { 'NUMBER', value } end
local version = new_version(field, value)
renew(ARGV[1])
wake(state, field)
return { 'OK', value, version }
