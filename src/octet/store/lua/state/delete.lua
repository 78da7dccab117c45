-- state/delete.lua: delete fields of a shared state, or all of it; or one field, if its version is
-- still the one that was read.
-- ARGV ttl_ms · version: the one that the first field must have, '' for any · fields…: none: all
-- Returns {OK, how many there were} · {STALE, version, value} as they are, version 0 for no value ·
--   {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: state_keys
if ARGV[2] ~= '' then
  local value = redis.call('HGET', state, ARGV[3])
  local version = version_of(ARGV[3], value)
  if version ~= ARGV[2] then return { 'STALE', version, value or '' } end
end
local deleted = 0
for i = 3, #ARGV do
  deleted = deleted + redis.call('HDEL', state, ARGV[i])
  redis.call('HDEL', versions, ARGV[i])
  wake(state, ARGV[i])
end
if #ARGV == 2 then
  deleted = redis.call('HLEN', state)
  redis.call('DEL', state, versions)
  wake(state, '')
end
renew(ARGV[1])
return { 'OK', deleted }
