-- now_ms(): the server's clock in milliseconds, one instant for the whole script; no client's clock
-- decides anything.
local clock_ms
local function now_ms()
  if not clock_ms then
    local time = redis.call('TIME')
    clock_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return clock_ms
end
