-- post(name, message): a message in the inbox of that name, and word of it; its id, nil where the
-- inbox takes no more. message: from, to, text; kind, task, priority, reply_to where it has them.
-- An inbox holds at most a thousand messages that wait, each for thirty days, as long as a
-- session's name is kept.
-- KEYS inbox* STREAM · inbox_high* ZSET
-- include: clock
-- include: emit
local MAX_WAITING, INBOX_MS = 1000, 2592000000

local function post(name, message)
  local key = K.inbox .. name
  if redis.call('XLEN', key) >= MAX_WAITING then return nil end
  local fields = { 'from', message.from, 'to', message.to, 'text', message.text }
  fields[7], fields[8] = 'sent_ms', now_ms()
  for _, field in ipairs({ 'kind', 'task', 'priority', 'reply_to' }) do
    if message[field] and message[field] ~= '' then
      fields[#fields + 1] = field
      fields[#fields + 1] = message[field]
    end
  end
  local id = redis.pcall('XADD', key, '*', unpack(fields))
  if type(id) ~= 'string' then return nil end -- a stream whose ids ran out by hand
  redis.call('PEXPIRE', key, INBOX_MS)
  if message.priority == 'high' then
    redis.call('ZADD', K.inbox_high .. name, 0, id)
    redis.call('PEXPIRE', K.inbox_high .. name, INBOX_MS)
  end
  emit('message_sent', { to = message.to, inbox = name, from = message.from, message = id })
  return id
end
