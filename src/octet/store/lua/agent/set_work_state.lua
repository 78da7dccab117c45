-- agent/set_work_state.lua: note how an agent stands to its work (paused, parked, what it was handed last),
-- and tell of it.
-- KEYS incarnations HASH · work_state(agent) HASH · log STREAM · channel* PUBSUB
-- ARGV agent · incarnation · kept_ms: how long the record is kept · event: its type, or '' ·
--   fields: of the event, a JSON object with at least one field · changes…: field, value, …: ''
--   deletes the field, and 'now' in one whose name ends in _ms is the server's time
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
