-- agent/acquire_sweeper.lua: take or renew the sweep for dead agents: one daemon of all does it, and a
-- new one each time has a greater epoch.
-- KEYS sweeper HASH · token STRING
-- ARGV daemon · ttl_ms
-- Returns {OK, epoch} · {HELD, holder, TTL in ms} · {SPOILED, key}.
-- include: expect
local spoiled = expect('HLEN', KEYS[1]) or expect_number(KEYS[2])
if spoiled then return spoiled end
local holder, epoch = unpack(redis.call('HMGET', KEYS[1], 'holder', 'epoch'))
if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) > 0 then return { 'HELD', holder, redis.call('PTTL', KEYS[1]) } end
if holder ~= ARGV[1] or not epoch then
  epoch = string.format('%.0f', redis.call('INCR', KEYS[2]))
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'epoch', epoch)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 'OK', epoch }
