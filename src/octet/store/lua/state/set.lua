-- state/set.lua: set fields of a shared state, all in one step; or one, if its version is still the
-- one that was read.
-- ARGV ttl_ms · version: the one that the first field must have, 0: it must not be there, '' for
--   any · fields…: field, value, …
-- Returns {OK, version, …} in the order given · {STALE, version, value} as they are, version 0 for
--   no value · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: state_keys
if ARGV[2] ~= '' then
  local value = redis.call('HGET', state, ARGV[3])
  local version = version_of(ARGV[3], value)
  if version ~= ARGV[2] then return { 'STALE', version, value or '' } end
end
local reply = { 'OK' }
for i = 3, #ARGV, 2 do
  redis.call('HSET', state, ARGV[i], ARGV[i + 1])
  reply[#reply + 1] = new_version(ARGV[i], ARGV[i + 1])
  wake(state, ARGV[i])
end
renew(ARGV[1])
return reply
