-- post(M, name, message): a message in the inbox of that name, and word of it; its id, nil where
-- the inbox takes no more. M: inboxes prefix, log STREAM, channels, and high prefix where the
-- message may be urgent. message: from, to, text; kind, task, priority, reply_to where it has them.
-- What waits is at most a thousand messages, each for thirty days, as long as a session's name is
-- kept.
local MOST_WAITING, KEPT_MS = 1000, 2592000000

local function post(M, name, message)
  local key = M.inboxes .. name
  if redis.call('XLEN', key) >= MOST_WAITING then return nil end
  local fields = { 'from', message.from, 'to', message.to, 'text', message.text, 'sent_ms', now_ms() }
  for _, field in ipairs({ 'kind', 'task', 'priority', 'reply_to' }) do
    if message[field] and message[field] ~= '' then
      fields[#fields + 1] = field
      fields[#fields + 1] = message[field]
    end
  end
  local id = redis.pcall('XADD', key, '*', unpack(fields))
  if type(id) ~= 'string' then return nil end -- a stream whose ids ran out by hand
  redis.call('PEXPIRE', key, KEPT_MS)
  if message.priority == 'high' and M.high then
    redis.call('ZADD', M.high .. name, 0, id)
    redis.call('PEXPIRE', M.high .. name, KEPT_MS)
  end
  emit(M.log, M.channels, 'message_sent', { to = message.to, inbox = name, from = message.from, message = id })
  return id
end
