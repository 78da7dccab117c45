-- A shared state; ends the script where one of its keys is spoiled. A field's version is a token,
-- so that it only grows and none comes twice, also after the field was deleted. The HASH of
-- versions has `<version> <the value that has it>` for each field: another value, HSET by hand,
-- gets a version of its own when it is read; the same one, put there again, looks unchanged.
-- new_version(field, value) · version_of(field, value): '0' for no value · renew(ttl): both keys
-- live on.
-- KEYS shared_state(name) HASH · state_versions(name) HASH · token STRING
-- include: expect
-- include: lifetime
local spoiled = expect('HLEN', K.shared_state, K.state_versions) or expect_number(K.token)
if spoiled then return spoiled end

local left_ms = redis.call('PTTL', K.state_versions)

local function new_version(field, value)
  local version = string.format('%.0f', redis.call('INCR', K.token))
  redis.call('HSET', K.state_versions, field, version .. ' ' .. value)
  return version
end

local function version_of(field, value)
  if not value then return '0' end
  local saved = redis.call('HGET', K.state_versions, field) or ''
  local version, known = string.match(saved, '^(%d+) (.*)$')
  return known == value and version or new_version(field, value)
end

local function renew(ttl) keep(lifetime(ttl, left_ms), K.shared_state, K.state_versions) end
