-- msg/send.lua: store a message for one inbox, for every member of a role, or for every agent; it
-- is there before the sender has its answer.
-- KEYS inbox* STREAM · inbox_high* ZSET · incarnations HASH · registry HASH · task* HASH ·
--   log STREAM · sent(sender) LIST
-- ARGV how: inbox | task | members | all · target: the inbox, the task, the role · to: as it was
--   asked · sender · text · kind · task: the one it is about, or '' · priority · reply_to: or '' ·
--   max_kept: how many the sender can look back on · kept_ms
-- Returns {OK, {inbox, id, …}, {inbox that is full, …}} · {FULL, inbox} · {MISSING} no such task ·
--   {STATE, state} it is over · {EMPTY} no agent is there · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: post_message
local OVER = { done = true, cancelled = true, dead = true }
local message = { from = A.sender, to = A.to, text = A.text, kind = A.kind, task = A.task,
  priority = A.priority, reply_to = A.reply_to }

local function members()
  local names, flat = {}, redis.call('HGETALL', K.registry)
  for i = 1, #flat, 2 do
    local ok, record = pcall(cjson.decode, flat[i + 1])
    local known = ok and type(record) == 'table' and record.kind ~= 'person'
    local fits = known and (A.how == 'all' or record.role == A.target) and flat[i] ~= A.sender
    local lives = fits and redis.call('HEXISTS', K.incarnations, flat[i]) == 1
    if lives then names[#names + 1] = flat[i] end
  end
  table.sort(names)
  return names
end

local function note(sent)
  if #sent == 0 then return end
  local text = brief(A.text, 200)
  local kept = { to = A.to, refs = sent, kind = A.kind, at_ms = now_ms(), text = text }
  redis.call('LPUSH', K.sent, cjson.encode(kept))
  redis.call('LTRIM', K.sent, 0, A.max_kept - 1)
  redis.call('PEXPIRE', K.sent, A.kept_ms)
end

local spoiled = expect('HLEN', K.incarnations, K.registry) or expect('XLEN', K.log)
  or expect('LLEN', K.sent)
if spoiled then return spoiled end
local names = { A.target }
if A.how == 'task' then
  local key = K.task .. A.target
  if expect('HLEN', key) then return { 'SPOILED', key } end
  local state = redis.call('HGET', key, 'state')
  if not state then return { 'MISSING' } end
  if OVER[state] then return { 'STATE', state } end
  names = { 'task:' .. A.target }
elseif A.how ~= 'inbox' then
  names = members()
end
if #names == 0 then return { 'EMPTY' } end
for _, name in ipairs(names) do
  spoiled = spoiled or expect('XLEN', K.inbox .. name) or expect('ZCARD', K.inbox_high .. name)
end
if spoiled then return spoiled end
local sent, full = {}, {}
for _, name in ipairs(names) do
  local id, n = post(name, message), #sent
  if id then sent[n + 1], sent[n + 2] = name, id else full[#full + 1] = name end
end
if #sent == 0 then return { 'FULL', full[1] } end
note(sent)
return { 'OK', sent, full }
