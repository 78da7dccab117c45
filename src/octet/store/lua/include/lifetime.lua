-- lifetime(ttl, left): for how many ms a value for own use lives from now on, 0 for ever. `ttl` is
-- 0 for ever, a time that was asked for, or minus the time for which a use renews it: then it keeps
-- what it had where that is more. `left` is the PTTL, before the script's first write, of one of
-- its keys that only Octet writes: a key that redis-cli made has no expiry, and did not ask to live
-- for ever. keep(ms, key, …): each key that is there lives that long. wake(channel, what): tell
-- those that wait; an ACL may forbid that.
local function lifetime(ttl, left)
  ttl = tonumber(ttl)
  if ttl >= 0 then return ttl end
  return left == -1 and 0 or math.max(left, -ttl)
end

local function keep(ms, ...)
  local text = string.format('%.0f', ms)
  for _, key in ipairs({ ... }) do
    if ms == 0 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, text) end
  end
end

local function wake(channel, what) redis.pcall('PUBLISH', channel, what) end
