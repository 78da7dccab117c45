-- queue/revive.lua: dead letters are pushed again, as if they were new.
-- KEYS queue(queue) LIST · queue_items(queue) HASH · queue_dead(queue) ZSET
-- ARGV ttl_ms · tokens…: one that is no dead letter is passed over
-- Returns {OK, token, …} of those pushed · {SPOILED, key}.
-- include: work_queue
-- include: queue_item
local reply = { 'OK' }
for _, token in ipairs(A.tokens) do
  local item = redis.call('ZREM', K.queue_dead, token) == 1 and read_item(token)
  if item then
    redis.call('HDEL', K.queue_items, token)
    redis.call('LPUSH', K.queue, item.value)
    reply[#reply + 1] = token
  end
end
renew(A.ttl_ms, 0)
wake(K.queue, 'pushed')
return reply
