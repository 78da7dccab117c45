-- msg/settle.lua: what became of messages that were given out: shown, and they are gone from the
-- inbox, or not, and they wait again. A record that has changed by now was settled by another
-- process, and stays.
-- KEYS inbox* STREAM · inbox_given* HASH · inbox_high* ZSET · shown* LIST
-- ARGV max_kept: how many shown ones are kept for each agent · kept_ms · verdicts…: shown | back,
--   inbox, id, record, of each
-- Returns {OK, how many were settled} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: delivery
local verdicts = A.verdicts

-- A history that was spoiled by hand must not keep a message from being settled.
local function keep(agent, name, entry)
  local key = K.shown .. agent
  if expect('LLEN', key) then redis.call('DEL', key) end
  local message = { inbox = name, id = entry[1], shown_ms = now_ms() }
  for i = 1, #entry[2], 2 do message['.' .. entry[2][i]] = entry[2][i + 1] end
  redis.call('LPUSH', key, cjson.encode(message))
  redis.call('LTRIM', key, 0, A.max_kept - 1)
  redis.call('PEXPIRE', key, A.kept_ms)
  local from = message['.from'] or '?'
  emit('message_read', { message = entry[1], inbox = name, agent = agent, from = from })
end

local spoiled
for i = 1, #verdicts, 4 do
  local name = verdicts[i + 1]
  spoiled = spoiled or expect('XLEN', K.inbox .. name) or expect('HLEN', K.inbox_given .. name)
    or expect('ZCARD', K.inbox_high .. name)
end
if spoiled then return spoiled end
local settled = 0
for i = 1, #verdicts, 4 do
  local verdict, name, id, record = unpack(verdicts, i, i + 3)
  if redis.call('HGET', K.inbox_given .. name, id) == record then
    redis.call('HDEL', K.inbox_given .. name, id)
    settled = settled + 1
    if verdict == 'shown' then
      local entry = redis.call('XRANGE', K.inbox .. name, id, id)[1]
      if entry then keep(delivery_of(record).agent, name, entry) end
      redis.call('XDEL', K.inbox .. name, id)
      redis.call('ZREM', K.inbox_high .. name, id)
    end
  end
end
return { 'OK', settled }
