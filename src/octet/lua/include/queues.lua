-- queue_of(K, stage, needs): the queue of a stage's tasks that need the same capabilities; `needs` is sorted, with commas between.
-- to_work(K, id, stage, needs, priority, order): queue a task that is to be built (designed, …), and note that its queue exists.
-- to_gate(K, id, stage, priority, order): queue it for a later stage.
-- move(K, id, from, to): from one state's index to another's; a pending task stands in its queue and in no index.
-- WORKING: the states in which somebody holds a task. A queue of another type than ours was made by hand, and gives way.
local WORKING = { claimed = true, ['in-review'] = true, testing = true, merging = true }

local function queue_of(K, stage, needs)
  if stage == 'build' and needs == '' then return K.priority end
  return K.stages .. stage .. (needs == '' and '' or ':' .. needs)
end

local function put(queue, id, priority, order)
  if expect('ZCARD', queue) then redis.call('DEL', queue) end
  enqueue(queue, id, priority, order)
end

local function to_work(K, id, stage, needs, priority, order)
  if stage ~= 'build' or needs ~= '' then redis.call('SADD', K.queues, stage .. ':' .. needs) end
  put(queue_of(K, stage, needs), id, priority, order)
end

local function to_gate(K, id, stage, priority, order) put(K.stages .. stage, id, priority, order) end

local function move(K, id, from, to)
  if from ~= 'pending' then redis.call('ZREM', K.states .. from, id) end
  if to ~= 'pending' then redis.call('ZADD', K.states .. to, now_ms(), id) end
end
