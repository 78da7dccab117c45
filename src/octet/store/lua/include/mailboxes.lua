-- The inboxes that an agent reads, and what waits in them; ends the script where one is spoiled, or
-- the agent is gone.
-- KEYS[1] inbox: prefix · KEYS[2] inboxes:given: prefix · KEYS[3] inboxes:high: prefix · KEYS[4]
--   agents:incarnations HASH
-- KEYS[5] agents:claims:<agent> SET · KEYS[6] orchestrator HASH
-- ARGV[1] agent · ARGV[2] incarnation · ARGV[3] its role and former names, with spaces between The
--   orchestrators' is read by the one that leads. M.names: its own, its role's, those of its former
--   names and of the tasks that it holds. M.given: by name, id → record of who was given the
--   message and has not settled it; M.gifts: the same as flat lists. walk(M, name, visit): the
--   messages nobody was given, urgent ones first, then oldest first, until visit(id, fields) says
--   true. What the agent itself sent to its role or task is for another. field(fields, name): its
--   value, or nil.
local M = { inboxes = KEYS[1], given_in = KEYS[2], high = KEYS[3], agent = ARGV[1], names = { ARGV[1] }, given = {}, gifts = {} }
local MOST_SEEN, PORTION = 2048, 32

if redis.call('HGET', KEYS[4], M.agent) ~= ARGV[2] then return { 'GONE' } end
local spoiled = expect('SCARD', KEYS[5]) or expect('HLEN', KEYS[6])
if spoiled then return spoiled end
local led = redis.call('HMGET', KEYS[6], 'agent', 'incarnation')
local leads = led[1] == M.agent and led[2] == ARGV[2]
for name in string.gmatch(ARGV[3], '%S+') do
  if name ~= M.agent and (name ~= 'orchestrator' or leads) then M.names[#M.names + 1] = name end
end
for _, task in ipairs(redis.call('SMEMBERS', KEYS[5])) do M.names[#M.names + 1] = 'task:' .. task end
for _, name in ipairs(M.names) do
  spoiled = expect('XLEN', M.inboxes .. name) or expect('HLEN', M.given_in .. name) or expect('ZCARD', M.high .. name)
  if spoiled then return spoiled end
  M.given[name], M.gifts[name] = {}, redis.call('HGETALL', M.given_in .. name)
  for i = 1, #M.gifts[name], 2 do M.given[name][M.gifts[name][i]] = M.gifts[name][i + 1] end
end

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

local function is_for(M, name, id, fields)
  return not M.given[name][id] and (name == M.agent or field(fields, 'from') ~= M.agent)
end

local function walk(M, name, visit)
  local urgent, start, seen = {}, '-', 0
  for _, id in ipairs(redis.call('ZRANGE', M.high .. name, 0, PORTION - 1)) do
    local found = string.find(id, '^%d+%-%d+$') and redis.call('XRANGE', M.inboxes .. name, id, id)[1]
    urgent[id] = true
    if found and is_for(M, name, id, found[2]) and visit(id, found[2]) then return end
  end
  repeat
    local found = redis.call('XRANGE', M.inboxes .. name, start, '+', 'COUNT', PORTION)
    for _, entry in ipairs(found) do
      if not urgent[entry[1]] and is_for(M, name, entry[1], entry[2]) and visit(entry[1], entry[2]) then return end
      start = '(' .. entry[1]
    end
    seen = seen + #found
  until #found < PORTION or seen >= MOST_SEEN
end

-- waiting(M, most): how many wait that nobody was given; counts up to `most` an inbox.
local function waiting(M, most)
  local count = 0
  for _, name in ipairs(M.names) do
    local here = 0
    walk(M, name, function()
      here = here + 1
      return here >= most
    end)
    count = count + here
  end
  return count
end
