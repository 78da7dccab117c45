-- msg/take.lua: give an agent the messages that no agent was given, urgent ones first, then oldest
-- first, as many as there is room for. They stay in their inboxes, marked as given, until
-- msg/settle.lua says what became of them.
-- KEYS inbox* STREAM · inbox_given* HASH
-- ARGV agent · incarnation · names · record: a JSON object with at least one field; `at_ms` is
--   spliced in front · max_messages · room: characters · shown: the most characters of a text that
--   are shown · frame: what a message costs besides its text, characters
-- Returns {OK, how many are left, inbox, id, record, {field, value, …}, …} · {GONE} · {SPOILED,
--   key}.
-- include: clock
-- include: mailboxes
local RANKS, KEPT_MS = { high = 0, low = 2 }, 2592000000
local max, room, shown, frame =
  tonumber(A.max_messages), tonumber(A.room), tonumber(A.shown), tonumber(A.frame)
local found, total = {}, count_waiting(100)

local function add(name, id, fields)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  local rank = RANKS[field(fields, 'priority') or ''] or 1
  found[#found + 1] =
    { name = name, id = id, fields = fields, rank = rank, ms = tonumber(ms), seq = tonumber(seq) }
end

for _, name in ipairs(inboxes) do
  local here = 0
  walk(name, function(id, fields)
    add(name, id, fields)
    here = here + 1
    return here >= math.max(PORTION, max)
  end)
end
table.sort(found, function(a, b)
  if a.rank ~= b.rank then return a.rank < b.rank end
  if a.ms ~= b.ms then return a.ms < b.ms end
  if a.seq ~= b.seq then return a.seq < b.seq end
  return a.name < b.name
end)
local reply, taken = { 'OK', 0 }, 0
local record = string.format('{"at_ms":%.0f,', now_ms()) .. string.sub(A.record, 2)
for _, message in ipairs(found) do
  -- Quoting a text line by line may double it.
  local cost = frame + math.min(2 * #(field(message.fields, 'text') or ''), shown)
  if taken >= max or cost > room then break end
  room, taken = room - cost, taken + 1
  local given_key, inbox, n = K.inbox_given .. message.name, K.inbox .. message.name, #reply
  redis.call('HSET', given_key, message.id, record)
  redis.call('PEXPIRE', given_key, KEPT_MS)
  if redis.call('PTTL', inbox) < 0 then redis.call('PEXPIRE', inbox, KEPT_MS) end
  reply[n + 1], reply[n + 2] = message.name, message.id
  reply[n + 3], reply[n + 4] = record, message.fields
end
reply[2] = math.max(0, total - taken)
return reply
