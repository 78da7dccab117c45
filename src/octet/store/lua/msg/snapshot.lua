-- msg/snapshot.lua: how many messages wait for an agent, and which were given but are not settled: to
-- itself, or to one that is no more.
-- ARGV unsettled_ms: how long after it was given an unsettled message counts as waiting again
-- Returns {OK, waiting, of those that nobody was given, inbox, id, record, …} · {GONE} · {SPOILED,
--   key}.
-- include: clock
-- include: expect
-- include: mailboxes
-- include: gift
local fresh = waiting(M, 100)
local reply, old = { 'OK', 0, fresh }, 0
for _, name in ipairs(M.names) do
  for i = 1, #M.gifts[name], 2 do
    local id, text = M.gifts[name][i], M.gifts[name][i + 1]
    local gift = gift_of(text)
    local lives = gift.agent ~= '' and redis.call('HGET', KEYS[4], gift.agent) == gift.incarnation
    if gift.agent == M.agent or not lives then
      for _, value in ipairs({ name, id, text }) do reply[#reply + 1] = value end
      if not lives or now_ms() - number(gift.at_ms, 0) >= tonumber(ARGV[4]) then old = old + 1 end
    end
  end
end
reply[2] = fresh + old
return reply
