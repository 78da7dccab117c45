-- msg/settle.lua: what became of messages that were given out: shown, and they are gone from the
-- inbox, or not, and they wait again. A record that is another one by now was settled by somebody
-- else, and stays.
-- KEYS inbox* STREAM · inbox_given* HASH · inbox_high* ZSET · shown* LIST · log STREAM · channel*
--   PUBSUB
-- ARGV max_kept: how many shown ones are kept for each agent · kept_ms · verdicts…: shown | back,
--   inbox, id, record, of each
-- Returns {OK, how many were settled} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: gift
local inboxes, given, high, shown, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- What somebody put in place of the history by hand must not keep a message from being settled.
local function keep(agent, name, entry)
  if expect('LLEN', shown .. agent) then redis.call('DEL', shown .. agent) end
  local message = { inbox = name, id = entry[1], shown_ms = now_ms() }
  for i = 1, #entry[2], 2 do message['.' .. entry[2][i]] = entry[2][i + 1] end
  redis.call('LPUSH', shown .. agent, cjson.encode(message))
  redis.call('LTRIM', shown .. agent, 0, ARGV[2] - 1)
  redis.call('PEXPIRE', shown .. agent, ARGV[3])
  emit(log, ARGV[1], 'message_read', { message = entry[1], inbox = name, agent = agent, from = message['.from'] or '?' })
end

local spoiled
for i = 4, #ARGV, 4 do
  local name = ARGV[i + 1]
  spoiled = spoiled or expect('XLEN', inboxes .. name) or expect('HLEN', given .. name) or expect('ZCARD', high .. name)
end
if spoiled then return spoiled end
local settled = 0
for i = 4, #ARGV, 4 do
  local name, id = ARGV[i + 1], ARGV[i + 2]
  if redis.call('HGET', given .. name, id) == ARGV[i + 3] then
    redis.call('HDEL', given .. name, id)
    settled = settled + 1
    if ARGV[i] == 'shown' then
      local entry = redis.call('XRANGE', inboxes .. name, id, id)[1]
      if entry then keep(gift_of(ARGV[i + 3]).agent, name, entry) end
      redis.call('XDEL', inboxes .. name, id)
      redis.call('ZREM', high .. name, id)
    end
  end
end
return { 'OK', settled }
