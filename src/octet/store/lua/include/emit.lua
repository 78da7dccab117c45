-- emit(kind, fields): one event, kept in the bounded log and published to live watchers.
-- publish(kind, body): the same for a body that is encoded already, a JSON object with at least one
-- field. The published body carries the log entry's id, so that a watcher can join both without a
-- gap or a double. Neither step may stop a script half-way: an ACL without this channel forbids
-- publishing (a watcher is told), and a stream can run out of ids.
-- brief(text, max): the first `max` bytes of a text, without half a character at its end; without
-- `max` as much as an event carries.
-- KEYS log STREAM · channel* PUBSUB
-- include: clock
local function publish(kind, body)
  local id = redis.pcall('XADD', K.log, 'MAXLEN', '~', 10000, '*', 'type', kind, 'data', body)
  if type(id) ~= 'string' then id = '' end
  redis.pcall('PUBLISH', K.channel .. kind, string.sub(body, 1, -2) .. ',"id":"' .. id .. '"}')
end

local function emit(kind, fields)
  fields.type = kind
  fields.at_ms = now_ms()
  publish(kind, cjson.encode(fields))
end

local function brief(text, max)
  if #text <= (max or 500) then return text end
  return (string.gsub(string.sub(text, 1, max or 500), '[\194-\244][\128-\191]*$', ''))
end
