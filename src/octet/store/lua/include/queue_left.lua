-- tell_if_drained(): word to whoever waits for the end, when nothing is ready, leased or coming
-- back; returns how much is left.
local function tell_if_drained()
  local left = redis.call('LLEN', Q.ready) + redis.call('ZCARD', Q.leased) + redis.call('ZCARD', Q.returned)
  if left == 0 then wake(Q.ready, 'drained') end
  return left
end
