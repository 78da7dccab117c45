-- msg/send.lua: store a message for one inbox, for every member of a role, or for everybody; it is
-- there before the sender has its answer.
-- KEYS inbox* STREAM · inbox_high* ZSET · incarnations HASH · registry HASH · task* HASH · log
--   STREAM · sent(sender) LIST · channel* PUBSUB
-- ARGV how: inbox | task | members | all · target: the inbox, the task, the role · to: as it was
--   asked · sender · text · kind · task: the one it is about, or '' · priority · reply_to: or '' ·
--   max_kept: how many the sender can look back on · kept_ms
-- Returns {OK, {inbox, id, …}, {inbox that is full, …}} · {FULL, inbox} · {MISSING} no such task ·
--   {STATE, state} it is over
-- · {EMPTY} nobody is there · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: post
local how, target = ARGV[2], ARGV[3]
local M = { inboxes = KEYS[1], high = KEYS[2], log = KEYS[6], channels = ARGV[1] }
local OVER = { done = true, cancelled = true, dead = true }
local message = { from = ARGV[5], to = ARGV[4], text = ARGV[6], kind = ARGV[7], task = ARGV[8], priority = ARGV[9], reply_to = ARGV[10] }

local function living()
  local names, flat = {}, redis.call('HGETALL', KEYS[4])
  for i = 1, #flat, 2 do
    local ok, record = pcall(cjson.decode, flat[i + 1])
    local fits = ok and type(record) == 'table' and record.kind ~= 'person' and (how == 'all' or record.role == target)
    if fits and flat[i] ~= message.from and redis.call('HEXISTS', KEYS[3], flat[i]) == 1 then names[#names + 1] = flat[i] end
  end
  table.sort(names)
  return names
end

local function note(sent)
  if #sent == 0 then return end
  local kept = { to = message.to, refs = sent, kind = message.kind, at_ms = now_ms(), text = brief(message.text, 200) }
  redis.call('LPUSH', KEYS[7], cjson.encode(kept))
  redis.call('LTRIM', KEYS[7], 0, ARGV[11] - 1)
  redis.call('PEXPIRE', KEYS[7], ARGV[12])
end

local spoiled = expect('HLEN', KEYS[3], KEYS[4]) or expect('XLEN', KEYS[6]) or expect('LLEN', KEYS[7])
if spoiled then return spoiled end
local names = { target }
if how == 'task' then
  if expect('HLEN', KEYS[5] .. target) then return { 'SPOILED', KEYS[5] .. target } end
  local state = redis.call('HGET', KEYS[5] .. target, 'state')
  if not state then return { 'MISSING' } end
  if OVER[state] then return { 'STATE', state } end
  names = { 'task:' .. target }
elseif how ~= 'inbox' then
  names = living()
end
if #names == 0 then return { 'EMPTY' } end
for _, name in ipairs(names) do
  spoiled = spoiled or expect('XLEN', M.inboxes .. name) or expect('ZCARD', M.high .. name)
end
if spoiled then return spoiled end
local sent, full = {}, {}
for _, name in ipairs(names) do
  local id = post(M, name, message)
  if id then
    sent[#sent + 1] = name
    sent[#sent + 1] = id
  else
    full[#full + 1] = name
  end
end
if #sent == 0 then return { 'FULL', full[1] } end
note(sent)
return { 'OK', sent, full }
