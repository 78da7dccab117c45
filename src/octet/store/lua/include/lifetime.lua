-- lifetime(ttl, left): for how many ms a thing of one's own lives from now on, 0 for ever. `ttl` is
-- 0 for ever, a time that was asked for, or minus the time for which a use renews it: then it keeps
-- what it had where that is more. `left` is the PTTL, before the script's first write, of a key of
-- it that only Octet writes: what redis-cli made has no expiry, and did not ask to live for ever.
-- keep(ms, key, …): let each key that is there live so long. wake(channel, what): tell whoever
-- waits; an ACL may forbid that.
local function lifetime(ttl, left)
  ttl = tonumber(ttl)
  if ttl >= 0 then return ttl end
  return left == -1 and 0 or math.max(left, -ttl)
end

local function keep(ms, ...)
  for _, key in ipairs({ ... }) do
    if ms == 0 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, string.format('%.0f', ms)) end
  end
end

local function wake(channel, what) redis.pcall('PUBLISH', channel, what) end
