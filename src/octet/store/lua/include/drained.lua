-- tell_if_drained(): word to those that wait for the end, when nothing is ready, leased or coming
-- back; returns how much is left.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · queue_returned(queue) ZSET
-- include: work_queue
local function tell_if_drained()
  local left = redis.call('LLEN', K.queue) + redis.call('ZCARD', K.queue_leased)
    + redis.call('ZCARD', K.queue_returned)
  if left == 0 then wake(K.queue, 'drained') end
  return left
end
