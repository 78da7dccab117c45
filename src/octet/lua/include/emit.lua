-- emit(log, channels, kind, fields): one event, kept in the bounded log and published to live watchers.
-- The published body carries the log entry's id, so that a watcher can join both without a gap or a double.
local function emit(log, channels, kind, fields)
  fields.type = kind
  fields.at_ms = now_ms()
  local body = cjson.encode(fields)
  local id = redis.call('XADD', log, 'MAXLEN', '~', 10000, '*', 'type', kind, 'data', body)
  redis.call('PUBLISH', channels .. kind, '{"id":"' .. id .. '",' .. string.sub(body, 2))
end
