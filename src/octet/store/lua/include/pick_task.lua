-- held_before(max): the task to give again: the one wanted, or any when the agent holds as many as
-- it may; else nil. next_task(): the first task that fits: one that was sent back to this agent,
-- else the first in the queues; nil for none. named_task(): the task asked for, or nil and the
-- refusal to return.
-- KEYS task* HASH · stage* ZSET · claims* SET · returned(agent) SET
-- ARGV agent · waiting · wanted · stage · capabilities
-- include: task_facts
-- include: open_queues
-- include: claimable
local function held_before(max)
  local held = {}
  for _, id in ipairs(redis.call('SMEMBERS', K.claims .. A.agent)) do
    local task = redis.pcall('HMGET', K.task .. id, 'holder', 'state')
    if task[1] == A.agent and WORKING[task[2]] then
      if id == A.wanted then return id end
      held[#held + 1] = id
    else
      redis.call('SREM', K.claims .. A.agent, id) -- a claim that has ended is forgotten
    end
  end
  return #held >= max and held[1]
end

local function sent_back()
  for _, id in ipairs(IS_WORK and redis.call('SMEMBERS', K.returned) or {}) do
    local f = redis.pcall('HMGET', K.task .. id, 'state', 'offered_to', 'work', 'needs')
    if f[1] ~= 'pending' or f[2] ~= A.agent then
      redis.call('SREM', K.returned, id)
    else
      local fits = (f[3] or 'build') == A.stage and not missing(f[4] or '', A.capabilities)
      if fits and allowed(id) then return id end
    end
  end
  return nil
end

-- No task waits for ever, however many of higher priority keep coming: every eighth claim is for
-- the one that was overtaken most, if by a hundred claims or more.
local EVERY, MIN_OVERTAKEN = 8, 100

local function overdue(queues)
  local claims, queue, id, came = claims_so_far(A.stage), nil, nil, nil
  for _, open in ipairs(claims % EVERY == 0 and queues or {}) do
    local found = redis.pcall('ZRANGE', open.key .. ':oldest', 0, 0, 'WITHSCORES')
    local before = tonumber(found[2])
    local first = found[1] and (not came or before < came)
    if first then queue, id, came = open.key, found[1], before end
  end
  if not id or claims - came < MIN_OVERTAKEN then return nil end
  id = waiting(queue, id)
  return id and allowed(id) and id
end

local MAX_PASSED = 512
local function next_task()
  local mine = sent_back()
  if mine then return mine end
  local queues = open_queues()
  return overdue(queues) or first_match(queues, MAX_PASSED, waiting, allowed)
end

local function named_task()
  local f = redis.pcall('HMGET', K.task .. A.wanted, 'state', 'needs', 'paths', 'work', 'stage')
  local needs, state = IS_WORK and type(f[2]) == 'string' and f[2] or '', f[1]
  local queue = IS_WORK and queue_of(A.stage, needs) or K.stage .. A.stage
  local queued = type(redis.pcall('ZSCORE', queue, A.wanted)) == 'string'
  local id = queued and waiting(queue, A.wanted)
  if id then
    local lacks, scoped = missing(needs, A.capabilities), f[3] and f[3] ~= '[]'
    local other = IS_WORK and id == A.wanted and scoped and in_the_way(id, f[3], true)
    if lacks then return id, { 'NEEDS', lacks } end
    if other then return id, { 'SCOPE', other } end
    return id, own_work(id) and { 'OWN' } or nil
  end
  if not state then return nil, { 'MISSING' } end
  local stage = (IS_WORK and f[4] or f[5]) or 'build'
  return nil, { 'STATE', state == A.waiting and state .. ' for ' .. stage or state }
end
