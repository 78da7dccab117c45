-- task/offer.lua: may this idle agent be woken for something that is there for one, or a few, of
-- many? If so nobody else is, for a while.
-- KEYS wakes(what) ZSET
-- ARGV agent · count: how many there are · offer_ms: for how long it is offered
-- Returns {OK} · {LATER, ms until an offer runs out} · {SPOILED, key}.
-- include: clock
-- include: expect
local spoiled = expect('ZCARD', KEYS[1])
if spoiled then return spoiled end
local now, most, grace_ms = now_ms(), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZCARD', KEYS[1]) >= most then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return { 'LATER', first[2] and math.max(1, tonumber(first[2]) - now) or grace_ms }
end
redis.call('ZADD', KEYS[1], now + grace_ms, ARGV[1])
redis.call('PEXPIRE', KEYS[1], grace_ms * 2)
return { 'OK' }
