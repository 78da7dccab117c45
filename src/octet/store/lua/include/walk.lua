-- open_queues(K, stage, works, capabilities): the queues whose tasks the agent may take; an empty
-- one is forgotten. walk(queues, most, waiting, allowed): the first task in order of score over all
-- of them that waits and is allowed, past at most `most` that wait and are not. Each step reads one
-- place of one queue, so that the length of none of them matters.
local function missing(needs, capabilities)
  for need in string.gmatch(needs, '[^,]+') do
    if not string.find(capabilities, ',' .. need .. ',', 1, true) then return need end
  end
  return nil
end

local function look(queue)
  local found = redis.pcall('ZREVRANGE', queue.key, queue.at, queue.at, 'WITHSCORES')
  queue.id, queue.score = found[1], tonumber(found[2] or 0)
  return queue
end

local function open_queues(K, stage, works, capabilities)
  local open = { look({ key = works and queue_of(K, stage, '') or K.stages .. stage, at = 0 }) }
  for _, name in ipairs(works and redis.call('SMEMBERS', K.queues) or {}) do
    local needs = string.sub(name, #stage + 2)
    if string.sub(name, 1, #stage + 1) == stage .. ':' and needs ~= '' and not missing(needs, capabilities) then
      local queue = look({ key = queue_of(K, stage, needs), at = 0 })
      if queue.id then open[#open + 1] = queue else redis.call('SREM', K.queues, name) end
    end
  end
  return open
end

local function walk(queues, most, waiting, allowed)
  local passed = 0
  while passed < most do
    local best
    for _, queue in ipairs(queues) do
      if queue.id and (not best or queue.score > best.score) then best = queue end
    end
    if not best then return nil end
    local id = waiting(best.key, best.id)
    if id and allowed(id) then return id end
    if id then best.at, passed = best.at + 1, passed + 1 end
    look(best)
  end
  return nil
end
