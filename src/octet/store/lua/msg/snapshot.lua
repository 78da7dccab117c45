-- msg/snapshot.lua: how many messages wait for an agent, and which were given but are not settled:
-- to itself, or to an agent that no longer lives.
-- KEYS incarnations HASH
-- ARGV agent · incarnation · names · unsettled_ms: how long after it was given an unsettled message
--   counts as waiting again
-- Returns {OK, waiting, of those that no agent was given, inbox, id, record, …} · {GONE} ·
--   {SPOILED, key}.
-- include: clock
-- include: expect
-- include: mailboxes
-- include: delivery
local fresh = count_waiting(100)
local reply, old, unsettled_ms = { 'OK', 0, fresh }, 0, tonumber(A.unsettled_ms)
for _, name in ipairs(inboxes) do
  local list = given_list[name]
  for i = 1, #list, 2 do
    local id, text, n = list[i], list[i + 1], #reply
    local delivery = delivery_of(text)
    local agent = delivery.agent
    local lives = agent ~= '' and redis.call('HGET', K.incarnations, agent) == delivery.incarnation
    if agent == A.agent or not lives then
      reply[n + 1], reply[n + 2], reply[n + 3] = name, id, text
      local age_ms = now_ms() - number(delivery.at_ms, 0)
      if not lives or age_ms >= unsettled_ms then old = old + 1 end
    end
  end
end
reply[2] = fresh + old
return reply
