-- emit(log, channels, kind, fields): one event, kept in the bounded log and published to live
-- watchers. publish(log, channels, kind, body): the same for a body that is encoded already, a JSON
-- object with at least one field. The published body carries the log entry's id, so that a watcher
-- can join both without a gap or a double. Neither step may stop a script half-way: an ACL without
-- this channel forbids publishing (whoever watches is told), a stream can run out of ids.
-- brief(text, most): the first `most` bytes of a text, without half a character at its end; without
-- it as much as an event carries.
local function publish(log, channels, kind, body)
  local id = redis.pcall('XADD', log, 'MAXLEN', '~', 10000, '*', 'type', kind, 'data', body)
  if type(id) ~= 'string' then id = '' end
  redis.pcall('PUBLISH', channels .. kind, string.sub(body, 1, -2) .. ',"id":"' .. id .. '"}')
end

local function emit(log, channels, kind, fields)
  fields.type = kind
  fields.at_ms = now_ms()
  publish(log, channels, kind, cjson.encode(fields))
end

local function brief(text, most)
  if #text <= (most or 500) then return text end
  return (string.gsub(string.sub(text, 1, most or 500), '[\194-\244][\128-\191]*$', ''))
end
