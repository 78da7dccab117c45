-- lock/touch_path.lua: note that an agent changes paths in its own worktree; each pair of agents
-- that touches the same one is told once. An earlier toucher counts while its task is unfinished,
-- or, without a task, while it lives.
-- KEYS touched* HASH · incarnations HASH · claims(agent) SET · task* HASH · inbox* STREAM · log
--   STREAM · channel* PUBSUB
-- ARGV agent · incarnation · branch · ttl_ms · paths…: relative to a checkout
-- Returns {OK, path, agent, task, branch, …} of the others, where this pair was not told of that
--   path before · {GONE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: post
local touched, tasks, inboxes, log, channels, agent = KEYS[1], KEYS[4], KEYS[5], KEYS[6], ARGV[1], ARGV[2]
local OVER = { done = true, cancelled = true, dead = true }

local function counts(other, entry)
  if entry.task ~= '' then
    local state = redis.pcall('HGET', tasks .. entry.task, 'state')
    return type(state) == 'string' and not OVER[state]
  end
  return redis.call('HGET', KEYS[2], other) == entry.incarnation
end

local function shown(who, task, branch)
  return who .. (task ~= '' and ', task ' .. task or '') .. (branch ~= '' and ', branch ' .. branch or '')
end

local function meet(key, path, mine, reply)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local other = string.match(fields[i], '^by:(.*)$')
    local ok, entry = pcall(cjson.decode, fields[i + 1])
    if other and other ~= agent and ok and type(entry) == 'table' and counts(other, entry) then
      local pair = other < agent and other .. '|' .. agent or agent .. '|' .. other
      if redis.call('HEXISTS', key, 'told:' .. pair) == 0 and not expect('XLEN', inboxes .. other) then
        redis.call('HSET', key, 'told:' .. pair, 1)
        local text = path .. ' is being changed by ' .. shown(agent, mine.task, mine.branch) .. ', and by you, each in an own worktree: '
          .. 'agree who does what before both are merged.'
        post({ inboxes = inboxes, log = log, channels = channels }, other, { from = agent, to = other, text = text, kind = 'note' })
        for _, value in ipairs({ path, other, entry.task, entry.branch }) do reply[#reply + 1] = value end
      end
    end
  end
end

if redis.call('HGET', KEYS[2], agent) ~= ARGV[3] then return { 'GONE' } end
local spoiled = expect('SCARD', KEYS[3]) or expect('XLEN', log)
for i = 6, #ARGV do spoiled = spoiled or expect('HLEN', touched .. ARGV[i]) end
if spoiled then return spoiled end
local mine = { incarnation = ARGV[3], branch = ARGV[4], task = redis.call('SRANDMEMBER', KEYS[3]) or '' }
local reply = { 'OK' }
for i = 6, #ARGV do
  local key = touched .. ARGV[i]
  meet(key, ARGV[i], mine, reply)
  redis.call('HSET', key, 'by:' .. agent, cjson.encode(mine))
  redis.call('PEXPIRE', key, ARGV[5])
end
return reply
