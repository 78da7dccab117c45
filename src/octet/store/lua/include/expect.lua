-- expect(probe, key, …): nil when each key is missing or of the type that the probe reads (ZCARD,
-- SCARD, HLEN, LLEN, STRLEN, XLEN), else {SPOILED, key} to return. expect_number(key): the same for
-- a counter. A script asks before its first write, for every key that it does not read anyway: a
-- key of another type was made by hand, and Redis would stop half-way and roll nothing back.
-- number(text, default): a number, never NaN or infinite; the default for a text that is none.
local function expect(probe, key, ...)
  if type(redis.pcall(probe, key)) == 'table' then return { 'SPOILED', key } end
  if ... then return expect(probe, ...) end
  return nil
end

local function expect_number(key)
  local found = redis.pcall('GET', key)
  if not found then return nil end
  local whole = type(found) == 'string' and #found <= 15 and string.find(found, '^%-?%d+$')
  return not whole and { 'SPOILED', key } or nil
end

local function number(text, default)
  local value = tonumber(text or nil)
  local finite = value and value == value and math.abs(value) < math.huge
  return finite and value or default
end
