-- queue/revive.lua: dead letters are pushed again, as if they were new.
-- ARGV ttl_ms · tokens…: one that is no dead letter is passed over
-- Returns {OK, token, …} of those revived · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
-- include: queue_item
local reply = { 'OK' }
for i = 2, #ARGV do
  local item = redis.call('ZREM', Q.dead, ARGV[i]) == 1 and read_item(ARGV[i])
  if item then
    redis.call('HDEL', Q.items, ARGV[i])
    redis.call('LPUSH', Q.ready, item.value)
    reply[#reply + 1] = ARGV[i]
  end
end
renew(ARGV[1], 0)
wake(Q.ready, 'pushed')
return reply
