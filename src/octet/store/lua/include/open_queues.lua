-- open_queues(): the queues whose tasks the agent may take, each with its first task; an empty one
-- is forgotten. first_match(queues, max, waiting, allowed): the first task in order of score over
-- all of them that waits and is allowed, past at most `max` that wait and are not. Each step reads
-- one place of one queue, so that the length of none of them matters. missing(needs, capabilities):
-- a capability that is needed and not there. IS_WORK: whether the claim begins work, or judges it.
-- KEYS stage* ZSET · queues SET
-- ARGV waiting · stage · capabilities
-- include: task_queues
local IS_WORK = A.waiting == 'pending'

local function missing(needs, capabilities)
  for need in string.gmatch(needs, '[^,]+') do
    if not string.find(capabilities, ',' .. need .. ',', 1, true) then return need end
  end
  return nil
end

local function read_place(queue)
  local found = redis.pcall('ZREVRANGE', queue.key, queue.at, queue.at, 'WITHSCORES')
  queue.id, queue.score = found[1], tonumber(found[2] or 0)
  return queue
end

local function open_queues()
  local stage = A.stage
  local open = { read_place({ key = IS_WORK and queue_of(stage, '') or K.stage .. stage, at = 0 }) }
  for _, name in ipairs(IS_WORK and redis.call('SMEMBERS', K.queues) or {}) do
    local needs = string.sub(name, #stage + 2)
    local same = string.sub(name, 1, #stage + 1) == stage .. ':' and needs ~= ''
    if same and not missing(needs, A.capabilities) then
      local queue = read_place({ key = queue_of(stage, needs), at = 0 })
      if queue.id then open[#open + 1] = queue else redis.call('SREM', K.queues, name) end
    end
  end
  return open
end

local function first_match(queues, max, waiting, allowed)
  local passed = 0
  while passed < max do
    local best
    for _, queue in ipairs(queues) do
      if queue.id and (not best or queue.score > best.score) then best = queue end
    end
    if not best then return nil end
    local id = waiting(best.key, best.id)
    if id and allowed(id) then return id end
    if id then best.at, passed = best.at + 1, passed + 1 end
    read_place(best)
  end
  return nil
end
