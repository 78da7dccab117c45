-- has(C, claims, wanted, most): the task to give again: the one wanted, or any when the agent holds
-- as many as it may. mine_again(C): what was sent back to this agent. first(C): the first that fits
-- in the queues. Each is an id or nil. named(C, wanted): the task asked for, or nil and the refusal
-- to return.
local function has(C, claims, wanted, most)
  local held = {}
  for _, id in ipairs(redis.call('SMEMBERS', claims)) do
    local task = redis.pcall('HMGET', C.K.tasks .. id, 'holder', 'state')
    if task[1] == C.agent and WORKING[task[2]] then
      if id == wanted then return id end
      held[#held + 1] = id
    else
      redis.call('SREM', claims, id) -- a claim that is none any more is forgotten
    end
  end
  return #held >= most and held[1]
end

local function mine_again(C)
  for _, id in ipairs(C.works and redis.call('SMEMBERS', C.returned) or {}) do
    local f = redis.pcall('HMGET', C.K.tasks .. id, 'state', 'offered_to', 'work', 'needs')
    if f[1] ~= 'pending' or f[2] ~= C.agent then
      redis.call('SREM', C.returned, id)
    elseif (f[3] or 'build') == C.stage and not missing(f[4] or '', C.capabilities) and allowed(C, id) then
      return id
    end
  end
  return nil
end

-- No task waits for ever, however many of higher priority keep coming: every eighth claim is for
-- the one that was overtaken most, if by a hundred claims or more.
local EVERY, OVERTAKEN_MOST = 8, 100

local function overdue(C, queues)
  local turn, oldest, came = turns_of(C.K, C.stage), nil, nil
  for _, queue in ipairs(turn % EVERY == 0 and queues or {}) do
    local found = redis.pcall('ZRANGE', queue.key .. ':oldest', 0, 0, 'WITHSCORES')
    if found[1] and (not came or tonumber(found[2]) < came) then oldest, came = { queue.key, found[1] }, tonumber(found[2]) end
  end
  if not oldest or turn - came < OVERTAKEN_MOST then return nil end
  local id = waiting(C, oldest[1], oldest[2])
  return id and allowed(C, id) and id
end

local function first(C)
  local queues = open_queues(C.K, C.stage, C.works, C.capabilities)
  return overdue(C, queues) or walk(queues, C.most,
    function(queue, id) return waiting(C, queue, id) end, function(id) return allowed(C, id) end)
end

local function named(C, wanted)
  local f = redis.pcall('HMGET', C.K.tasks .. wanted, 'state', 'needs', 'paths', 'work', 'stage')
  local needs, state = C.works and type(f[2]) == 'string' and f[2] or '', f[1]
  local queue = C.works and queue_of(C.K, C.stage, needs) or C.K.stages .. C.stage
  local id = type(redis.pcall('ZSCORE', queue, wanted)) == 'string' and waiting(C, queue, wanted)
  if id then
    local lacks = missing(needs, C.capabilities)
    local other = C.works and id == wanted and f[3] and f[3] ~= '[]' and in_the_way(C.K, id, f[3], true)
    return id, lacks and { 'NEEDS', lacks } or other and { 'SCOPE', other } or own_work(C, id) and { 'OWN' } or nil
  end
  if not state then return nil, { 'MISSING' } end
  return nil, { 'STATE', state == C.from and state .. ' for ' .. ((C.works and f[4] or f[5]) or 'build') or state }
end
