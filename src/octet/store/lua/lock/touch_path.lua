-- lock/touch_path.lua: note that an agent changes paths in its own worktree; each pair of agents
-- that touches the same one is told once. An earlier agent counts while its task is unfinished, or,
-- without a task, while it lives.
-- KEYS touched* HASH · incarnations HASH · claims(agent) SET · task* HASH · inbox* STREAM ·
--   log STREAM
-- ARGV agent · incarnation · branch · ttl_ms · paths…: relative to a checkout
-- Returns {OK, path, agent, task, branch, …} of the others, where this pair was not told of that
--   path before · {GONE} · {SPOILED, key}.
-- include: expect
-- include: post_message
local agent, reply = A.agent, { 'OK' }
local OVER = { done = true, cancelled = true, dead = true }

local function counts(other, entry)
  if entry.task ~= '' then
    local state = redis.pcall('HGET', K.task .. entry.task, 'state')
    return type(state) == 'string' and not OVER[state]
  end
  return redis.call('HGET', K.incarnations, other) == entry.incarnation
end

local function described(who, task, branch)
  local of_task = task ~= '' and ', task ' .. task or ''
  return who .. of_task .. (branch ~= '' and ', branch ' .. branch or '')
end

local function tell(key, path, other, mine)
  local pair = other < agent and other .. '|' .. agent or agent .. '|' .. other
  if redis.call('HEXISTS', key, 'told:' .. pair) == 1 then return false end
  if expect('XLEN', K.inbox .. other) then return false end
  redis.call('HSET', key, 'told:' .. pair, 1)
  local text = path .. ' is being changed by ' .. described(agent, mine.task, mine.branch)
    .. ', and by you, each in an own worktree: agree who does what before both are merged.'
  post(other, { from = agent, to = other, text = text, kind = 'note' })
  return true
end

local function meet_others(key, path, mine)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local other = string.match(fields[i], '^by:(.*)$')
    local ok, entry = pcall(cjson.decode, fields[i + 1])
    local found = other and other ~= agent and ok and type(entry) == 'table'
    if found and counts(other, entry) and tell(key, path, other, mine) then
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = path, other, entry.task, entry.branch
    end
  end
end

if redis.call('HGET', K.incarnations, agent) ~= A.incarnation then return { 'GONE' } end
local spoiled = expect('SCARD', K.claims) or expect('XLEN', K.log)
for _, path in ipairs(A.paths) do spoiled = spoiled or expect('HLEN', K.touched .. path) end
if spoiled then return spoiled end
local task = redis.call('SRANDMEMBER', K.claims) or ''
local mine = { incarnation = A.incarnation, branch = A.branch, task = task }
for _, path in ipairs(A.paths) do
  local key = K.touched .. path
  meet_others(key, path, mine)
  redis.call('HSET', key, 'by:' .. agent, cjson.encode(mine))
  redis.call('PEXPIRE', key, A.ttl_ms)
end
return reply
