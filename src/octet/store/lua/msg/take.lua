-- msg/take.lua: give an agent the messages that nobody was given, urgent ones first, then oldest
-- first, as many as there is room for. They stay in their inboxes, marked as given, until
-- msg/settle.lua says what became of them.
-- ARGV record: a JSON object with at least one field; `at_ms` is spliced in front · max_messages ·
--   room: characters · shown: the most characters of a text that are shown · frame: what a message
--   costs besides its text, characters
-- Returns {OK, how many are left, inbox, id, record, {field, value, …}, …} · {GONE} · {SPOILED,
--   key}.
-- include: clock
-- include: expect
-- include: mailboxes
local RANKS, KEPT_MS = { high = 0, low = 2 }, 2592000000
local most, room, shown = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local found, total = {}, waiting(M, 100)

local function add(name, id, fields)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  found[#found + 1] = { name = name, id = id, fields = fields, rank = RANKS[field(fields, 'priority') or ''] or 1,
    ms = tonumber(ms), seq = tonumber(seq) }
end

for _, name in ipairs(M.names) do
  local here = 0
  walk(M, name, function(id, fields)
    add(name, id, fields)
    here = here + 1
    return here >= math.max(PORTION, most)
  end)
end
table.sort(found, function(a, b)
  if a.rank ~= b.rank then return a.rank < b.rank end
  if a.ms ~= b.ms then return a.ms < b.ms end
  if a.seq ~= b.seq then return a.seq < b.seq end
  return a.name < b.name
end)
local reply, taken = { 'OK', 0 }, 0
local record = string.format('{"at_ms":%.0f,', now_ms()) .. string.sub(ARGV[4], 2)
for _, message in ipairs(found) do
  -- Quoting a text line by line may double it.
  local cost = tonumber(ARGV[8]) + math.min(2 * #(field(message.fields, 'text') or ''), shown)
  if taken >= most or cost > room then break end
  room, taken = room - cost, taken + 1
  redis.call('HSET', M.given_in .. message.name, message.id, record)
  redis.call('PEXPIRE', M.given_in .. message.name, KEPT_MS)
  if redis.call('PTTL', M.inboxes .. message.name) < 0 then redis.call('PEXPIRE', M.inboxes .. message.name, KEPT_MS) end
  for _, value in ipairs({ message.name, message.id, record, message.fields }) do reply[#reply + 1] = value end
end
reply[2] = math.max(0, total - taken)
return reply
