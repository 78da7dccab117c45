-- expect(probe, key, …): nil when each key is missing or of the type that the probe (ZCARD, SCARD,
-- HLEN, LLEN, STRLEN, XLEN) reads, else {SPOILED, key} to return; expect_number(key): the same for
-- a counter. Asked before the first write for every key that a script does not read anyway: a key
-- of another type was made by hand, and Redis would stop there in the middle and roll nothing back.
-- number(text, default): a number that may have been spoiled by hand; never NaN or infinite.
local function expect(probe, key, ...)
  if type(redis.pcall(probe, key)) == 'table' then return { 'SPOILED', key } end
  if ... then return expect(probe, ...) end
  return nil
end

local function expect_number(key)
  local found = redis.pcall('GET', key)
  if found and (type(found) == 'table' or #found > 15 or not string.find(found, '^%-?%d+$')) then return { 'SPOILED', key } end
  return nil
end

local function number(text, default)
  local value = tonumber(text or nil)
  if not value or value ~= value or value == math.huge or value == -math.huge then return default end
  return value
end
