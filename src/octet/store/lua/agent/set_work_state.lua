-- agent/set_work_state.lua: change an agent's work state, if it is still as it was read, and publish
-- an event of that.
-- KEYS incarnations HASH · work_state(agent) HASH · log STREAM · channel* PUBSUB
-- ARGV agent · incarnation · version: the one that was read, 0 for none · kept_ms: how long the
--   record is kept · event: its type, or '' · fields: of the event, a JSON object with at least one
--   field · changes…: field, value, …: '' deletes the field, and 'now' in one whose name ends in
--   _ms is the server's time
-- Returns {OK} · {GONE} · {STALE}: the record has another version · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local state, log, kind = KEYS[2], KEYS[3], ARGV[6]

if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return { 'GONE' } end
local spoiled = expect('HLEN', state) or expect('XLEN', log)
if spoiled then return spoiled end
local version = redis.call('HGET', state, 'version') or ''
if not string.find(version, '^%d+$') or #version > 15 then version = '0' end
if tonumber(version) ~= tonumber(ARGV[4]) then return { 'STALE' } end
if #ARGV > 7 then redis.call('HSET', state, 'version', string.format('%.0f', version + 1)) end
for i = 8, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if value == 'now' and string.sub(field, -3) == '_ms' then value = string.format('%.0f', now_ms()) end
  if value == '' then redis.call('HDEL', state, field) else redis.call('HSET', state, field, value) end
end
redis.call('PEXPIRE', state, ARGV[5])
if kind ~= '' then
  publish(log, ARGV[1], kind, string.format('%s,"type":%s,"at_ms":%.0f}', string.sub(ARGV[7], 1, -2), cjson.encode(kind), now_ms()))
end
return { 'OK' }
