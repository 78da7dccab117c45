-- agent/stand.lua: note how an agent stands to its work (paused, parked, what it was handed last),
-- and tell of it.
-- KEYS[1] agents:incarnations HASH · KEYS[2] agents:standing:<agent> HASH · KEYS[3] log STREAM
-- ARGV[1] channel prefix · ARGV[2] agent · ARGV[3] incarnation · ARGV[4] how long the record is
--   kept, ms
-- ARGV[5] type of the event to tell, or '' · ARGV[6] its fields, a JSON object with at least one
--   field
-- ARGV[7..] field and value, in turn: '' deletes the field, and 'now' in one whose name ends in _ms
--   is the server's time, ms
-- Returns {OK} · {GONE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local standing, log, kind = KEYS[2], KEYS[3], ARGV[5]

if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return { 'GONE' } end
local spoiled = expect('HLEN', standing) or expect('XLEN', log)
if spoiled then return spoiled end
for i = 7, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if value == 'now' and string.sub(field, -3) == '_ms' then value = string.format('%.0f', now_ms()) end
  if value == '' then redis.call('HDEL', standing, field) else redis.call('HSET', standing, field, value) end
end
redis.call('PEXPIRE', standing, ARGV[4])
if kind ~= '' then
  publish(log, ARGV[1], kind, string.format('%s,"type":%s,"at_ms":%.0f}', string.sub(ARGV[6], 1, -2), cjson.encode(kind), now_ms()))
end
return { 'OK' }
