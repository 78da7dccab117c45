-- The inboxes that an agent reads, and what waits in them; ends the script where one is spoiled, or
-- the agent is gone. The orchestrators' inbox is read by the one that leads.
-- inboxes: the names of its own, its role's, those of its former names and of the tasks that it
-- holds. given[name]: id → record of the delivery of a message that is not settled; given_list: the
-- same as flat lists. field(fields, name): its value, or nil.
-- walk(name, visit): the messages that no agent was given, urgent ones first, then oldest first,
-- until visit(id, fields) returns true. What the agent itself sent to its role or task is for
-- another. count_waiting(max): how many such messages there are; counts up to `max` an inbox.
-- KEYS inbox* STREAM · inbox_given* HASH · inbox_high* ZSET · incarnations HASH ·
--   claims(agent) SET · orchestrator HASH
-- ARGV agent · incarnation · names: its role and its former names, with spaces between
-- include: expect
local inboxes, given, given_list = { A.agent }, {}, {}
local MAX_SEEN, PORTION = 2048, 32

if redis.call('HGET', K.incarnations, A.agent) ~= A.incarnation then return { 'GONE' } end
local spoiled = expect('SCARD', K.claims) or expect('HLEN', K.orchestrator)
if spoiled then return spoiled end
local led = redis.call('HMGET', K.orchestrator, 'agent', 'incarnation')
local leads = led[1] == A.agent and led[2] == A.incarnation
for name in string.gmatch(A.names, '%S+') do
  if name ~= A.agent and (name ~= 'orchestrator' or leads) then inboxes[#inboxes + 1] = name end
end
for _, task in ipairs(redis.call('SMEMBERS', K.claims)) do
  inboxes[#inboxes + 1] = 'task:' .. task
end
for _, name in ipairs(inboxes) do
  spoiled = expect('XLEN', K.inbox .. name) or expect('HLEN', K.inbox_given .. name)
    or expect('ZCARD', K.inbox_high .. name)
  if spoiled then return spoiled end
  local list = redis.call('HGETALL', K.inbox_given .. name)
  given[name], given_list[name] = {}, list
  for i = 1, #list, 2 do given[name][list[i]] = list[i + 1] end
end

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

local function is_for_agent(name, id, fields)
  return not given[name][id] and (name == A.agent or field(fields, 'from') ~= A.agent)
end

local function walk(name, visit)
  local urgent, start, seen = {}, '-', 0
  local function ends(id, fields) return is_for_agent(name, id, fields) and visit(id, fields) end
  for _, id in ipairs(redis.call('ZRANGE', K.inbox_high .. name, 0, PORTION - 1)) do
    local is_id = string.find(id, '^%d+%-%d+$')
    local found = is_id and redis.call('XRANGE', K.inbox .. name, id, id)[1]
    urgent[id] = true
    if found and ends(id, found[2]) then return end
  end
  repeat
    local found = redis.call('XRANGE', K.inbox .. name, start, '+', 'COUNT', PORTION)
    for _, entry in ipairs(found) do
      if not urgent[entry[1]] and ends(entry[1], entry[2]) then return end
      start = '(' .. entry[1]
    end
    seen = seen + #found
  until #found < PORTION or seen >= MAX_SEEN
end

local function count_waiting(max)
  local count = 0
  for _, name in ipairs(inboxes) do
    local here = 0
    walk(name, function()
      here = here + 1
      return here >= max
    end)
    count = count + here
  end
  return count
end
