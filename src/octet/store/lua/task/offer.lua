-- task/offer.lua: whether this idle agent may be woken for something that is there for one, or a
-- few, of many. If so, no other agent is, for a while.
-- KEYS wakes(what) ZSET
-- ARGV agent · count: how many there are · offer_ms: for how long it is offered
-- Returns {OK} · {LATER, ms until an offer runs out} · {SPOILED, key}.
-- include: clock
-- include: expect
local spoiled = expect('ZCARD', K.wakes)
if spoiled then return spoiled end
local now, offer_ms = now_ms(), tonumber(A.offer_ms)
redis.call('ZREMRANGEBYSCORE', K.wakes, '-inf', now)
local offered = redis.call('ZSCORE', K.wakes, A.agent)
if offered or redis.call('ZCARD', K.wakes) >= tonumber(A.count) then
  local first = redis.call('ZRANGE', K.wakes, 0, 0, 'WITHSCORES')
  return { 'LATER', first[2] and math.max(1, tonumber(first[2]) - now) or offer_ms }
end
redis.call('ZADD', K.wakes, now + offer_ms, A.agent)
redis.call('PEXPIRE', K.wakes, offer_ms * 2)
return { 'OK' }
