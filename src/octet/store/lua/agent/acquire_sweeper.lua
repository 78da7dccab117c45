-- agent/acquire_sweeper.lua: acquire or renew the sweeper lease: of all daemons one looks for the
-- dead of other machines, and each change of daemon has a greater epoch.
-- KEYS sweeper HASH · token STRING
-- ARGV daemon · ttl_ms
-- Returns {OK, epoch} · {HELD, holder, TTL in ms} · {SPOILED, key}.
-- include: expect
local spoiled = expect('HLEN', K.sweeper) or expect_number(K.token)
if spoiled then return spoiled end
local holder, epoch = unpack(redis.call('HMGET', K.sweeper, 'holder', 'epoch'))
local left_ms = redis.call('PTTL', K.sweeper)
if holder and holder ~= A.daemon and left_ms > 0 then return { 'HELD', holder, left_ms } end
if holder ~= A.daemon or not epoch then
  epoch = string.format('%.0f', redis.call('INCR', K.token))
  redis.call('HSET', K.sweeper, 'holder', A.daemon, 'epoch', epoch)
end
redis.call('PEXPIRE', K.sweeper, A.ttl_ms)
return { 'OK', epoch }
