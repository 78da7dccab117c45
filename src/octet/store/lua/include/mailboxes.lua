-- The inboxes that an agent reads, and what waits in them; ends the script where one is spoiled, or
-- the agent is gone.
-- KEYS inbox* STREAM · inbox_given* HASH · inbox_high* ZSET · incarnations HASH · claims(agent) SET
--   · orchestrator HASH
-- ARGV agent · incarnation · names: its role and its former names, with spaces between
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
