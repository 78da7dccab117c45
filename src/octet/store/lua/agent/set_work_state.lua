-- agent/set_work_state.lua: change an agent's work state, if it is still as it was read, and
-- publish an event of that.
-- KEYS incarnations HASH · work_state(agent) HASH · log STREAM
-- ARGV agent · incarnation · version: the one that was read, 0 for none · kept_ms: how long the
--   record is kept · event: its type, or '' · fields: of the event, a JSON object with at least one
--   field · changes…: field, value, …: '' deletes the field, and 'now' in one whose name ends in
--   _ms is the server's time
-- Returns {OK} · {GONE} · {STALE}: the record has another version · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
if redis.call('HGET', K.incarnations, A.agent) ~= A.incarnation then return { 'GONE' } end
local spoiled = expect('HLEN', K.work_state) or expect('XLEN', K.log)
if spoiled then return spoiled end
local version = redis.call('HGET', K.work_state, 'version') or ''
if not string.find(version, '^%d+$') or #version > 15 then version = '0' end
if tonumber(version) ~= tonumber(A.version) then return { 'STALE' } end
if #A.changes > 0 then
  redis.call('HSET', K.work_state, 'version', string.format('%.0f', version + 1))
end
local now = string.format('%.0f', now_ms())
for i = 1, #A.changes, 2 do
  local field, value = A.changes[i], A.changes[i + 1]
  if value == 'now' and string.sub(field, -3) == '_ms' then value = now end
  if value == '' then
    redis.call('HDEL', K.work_state, field)
  else
    redis.call('HSET', K.work_state, field, value)
  end
end
redis.call('PEXPIRE', K.work_state, A.kept_ms)
if A.event ~= '' then
  local fields, kind = string.sub(A.fields, 1, -2), cjson.encode(A.event)
  publish(A.event, string.format('%s,"type":%s,"at_ms":%s}', fields, kind, now))
end
return { 'OK' }
