-- progress/set.lua: set the progress of a piece of work. The rate is counted from where it began,
-- and anew from where it was set back to.
-- KEYS progress(name) HASH
-- ARGV ttl_ms · number · how: by (add it) | to (it is that) · total: '' leaves it · note: '' leaves
--   it
-- Returns {OK, field, value, …} · {NUMBER, value} that cannot be added to · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
local key = K.progress
local spoiled = expect('HLEN', key)
if spoiled then return spoiled end
local before = number(redis.call('HGET', key, 'current'), nil)
local started = redis.call('HEXISTS', key, 'started_ms') == 1
local ms = lifetime(A.ttl_ms, started and redis.call('PTTL', key) or -2)
if A.how == 'by' then
  local added = redis.pcall('HINCRBY', key, 'current', A.number)
  if type(added) == 'table' then return { 'NUMBER', redis.call('HGET', key, 'current') or '' } end
else
  redis.call('HSET', key, 'current', A.number)
end
local current, at = redis.call('HGET', key, 'current'), string.format('%.0f', now_ms())
local set_back = number(current, 0) < number(redis.call('HGET', key, 'base'), 0)
if not before or not started or set_back then
  redis.call('HSET', key, 'started_ms', at, 'base', current)
end
if A.total ~= '' then redis.call('HSET', key, 'total', A.total) end
if A.note ~= '' then redis.call('HSET', key, 'note', A.note) end
redis.call('HSET', key, 'updated_ms', at)
keep(ms, key)
wake(key, current)
return { 'OK', unpack(redis.call('HGETALL', key)) }
