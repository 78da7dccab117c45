-- state/incr.lua: add to a field of a shared state that holds a whole number, or nothing yet.
-- KEYS shared_state(name) HASH
-- ARGV ttl_ms · field · by
-- Returns {OK, value, version} · {NUMBER, value} that cannot be added to · {SPOILED, key}.
-- include: lifetime
-- include: shared_state
local added = redis.pcall('HINCRBY', K.shared_state, A.field, A.by)
local value = redis.call('HGET', K.shared_state, A.field) or ''
if type(added) == 'table' then return { 'NUMBER', value } end
local version = new_version(A.field, value)
renew(A.ttl_ms)
wake(K.shared_state, A.field)
return { 'OK', value, version }
