-- state/delete.lua: delete fields of a shared state, or all of it; or one field, if its version is
-- still the one that was read.
-- KEYS shared_state(name) HASH · state_versions(name) HASH
-- ARGV ttl_ms · version: the one that the first field must have, '' for any · fields…: none: all
-- Returns {OK, how many there were} · {STALE, version, value} as they are, version 0 for no value ·
--   {SPOILED, key}.
-- include: lifetime
-- include: shared_state
if A.version ~= '' then
  local value = redis.call('HGET', K.shared_state, A.fields[1])
  local version = version_of(A.fields[1], value)
  if version ~= A.version then return { 'STALE', version, value or '' } end
end
local deleted = 0
for _, field in ipairs(A.fields) do
  deleted = deleted + redis.call('HDEL', K.shared_state, field)
  redis.call('HDEL', K.state_versions, field)
  wake(K.shared_state, field)
end
if #A.fields == 0 then
  deleted = redis.call('HLEN', K.shared_state)
  redis.call('DEL', K.shared_state, K.state_versions)
  wake(K.shared_state, '')
end
renew(A.ttl_ms)
return { 'OK', deleted }
