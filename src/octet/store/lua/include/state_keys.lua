-- The keys of a shared state; ends the script where one is spoiled.
-- KEYS shared_state(name) HASH · state_versions(name) HASH · token STRING
local state, versions = KEYS[1], KEYS[2]
local spoiled = expect('HLEN', state, versions) or expect_number(KEYS[3])
if spoiled then return spoiled end

local left_ms = redis.call('PTTL', versions)

local function new_version(field, value)
  local version = string.format('%.0f', redis.call('INCR', KEYS[3]))
  redis.call('HSET', versions, field, version .. ' ' .. value)
  return version
end

local function version_of(field, value)
  if not value then return '0' end
  local version, known = string.match(redis.call('HGET', versions, field) or '', '^(%d+) (.*)$')
  return known == value and version or new_version(field, value)
end

local function renew(ttl) keep(lifetime(ttl, left_ms), state, versions) end
