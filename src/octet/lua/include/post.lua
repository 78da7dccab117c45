-- post(log, channels, inbox, to, from, text): a message in an inbox (inbox:<to>, bounded), and word of it; returns its id.
local function post(log, channels, inbox, to, from, text)
  local id = redis.call('XADD', inbox, 'MAXLEN', '~', 1000, '*', 'from', from, 'to', to, 'text', text, 'sent_ms', now_ms())
  emit(log, channels, 'message_sent', { to = to, from = from, message = id })
  return id
end
