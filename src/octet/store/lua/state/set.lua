-- state/set.lua: set fields of a shared state, all in one step; or one, if its version is still the
-- one that was read.
-- KEYS shared_state(name) HASH
-- ARGV ttl_ms · version: the one that the first field must have, 0: it must not be there, '' for
--   any · fields…: field, value, …
-- Returns {OK, version, …} in the order given · {STALE, version, value} as they are, version 0 for
--   no value · {SPOILED, key}.
-- include: lifetime
-- include: shared_state
if A.version ~= '' then
  local value = redis.call('HGET', K.shared_state, A.fields[1])
  local version = version_of(A.fields[1], value)
  if version ~= A.version then return { 'STALE', version, value or '' } end
end
local reply = { 'OK' }
for i = 1, #A.fields, 2 do
  local field, value = A.fields[i], A.fields[i + 1]
  redis.call('HSET', K.shared_state, field, value)
  reply[#reply + 1] = new_version(field, value)
  wake(K.shared_state, field)
end
renew(A.ttl_ms)
return reply
