-- progress/set.lua: how far a piece of work is. The rate is counted from where it began, and anew
-- from where it was set back to.
-- KEYS progress(name) HASH
-- ARGV ttl_ms · number · how: by (add it) | to (it is that) · total: '' leaves it · note: '' leaves
--   it
-- Returns {OK, field, value, …} · {NUMBER, value} that cannot be added to · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
local spoiled = expect('HLEN', KEYS[1])
if spoiled then return spoiled end
local key = KEYS[1]
local before = number(redis.call('HGET', key, 'current'), nil)
local ms = lifetime(ARGV[1], redis.call('HEXISTS', key, 'started_ms') == 1 and redis.call('PTTL', key) or -2)
if ARGV[3] == 'by' then
  local added = redis.pcall('HINCRBY', key, 'current', ARGV[2])
  if type(added) == 'table' then return { 'NUMBER', redis.call('HGET', key, 'current') or '' } end
else
  redis.call('HSET', key, 'current', ARGV[2])
end
local current, at = redis.call('HGET', key, 'current'), string.format('%.0f', now_ms())
if not before or redis.call('HEXISTS', key, 'started_ms') == 0 or number(current, 0) < number(redis.call('HGET', key, 'base'), 0) then
  redis.call('HSET', key, 'started_ms', at, 'base', current)
end
if ARGV[4] ~= '' then redis.call('HSET', key, 'total', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', key, 'note', ARGV[5]) end
redis.call('HSET', key, 'updated_ms', at)
keep(ms, key)
wake(key, current)
return { 'OK', unpack(redis.call('HGETALL', key)) }
