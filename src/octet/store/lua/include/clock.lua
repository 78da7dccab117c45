-- now_ms(): the server's clock in milliseconds, the same instant throughout a script. No client's
-- clock decides anything.
local clock_ms
local function now_ms()
  if not clock_ms then
    local time = redis.call('TIME')
    clock_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return clock_ms
end
