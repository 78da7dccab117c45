-- queue_of(K, stage, needs): the queue of a stage's tasks that need the same capabilities; `needs`
-- is sorted, with commas between. put(K, queue, stage, id, priority, order), unqueue(queue, id):
-- into a queue and out of it. Beside a queue stands `<queue>:oldest`, which orders the same tasks
-- by how many claims of the stage there had been when they came. turns_of(K, stage), take_turn(K,
-- stage): how many claims of a stage there have been; one more. to_work(K, id, stage, needs,
-- priority, order): queue a task that is to be built (designed, …), and note that its queue exists.
-- to_gate(K, id, stage, priority, order): queue it for a later stage. move(K, id, from, to): from
-- one state's index to another's; a pending task stands in its queue and in no index. WORKING: the
-- states in which somebody holds a task. A queue of another type than ours was made by hand, and
-- gives way.
local WORKING = { claimed = true, ['in-review'] = true, testing = true, merging = true }

local function queue_of(K, stage, needs)
  if stage == 'build' and needs == '' then return K.priority end
  return K.stages .. stage .. (needs == '' and '' or ':' .. needs)
end

local function turns_of(K, stage)
  local turns = redis.pcall('HGET', K.priority .. ':turns', stage)
  return type(turns) == 'string' and tonumber(turns) or 0
end

local function take_turn(K, stage)
  local turns = K.priority .. ':turns'
  if expect('HLEN', turns) then redis.call('DEL', turns) end
  redis.call('HSET', turns, stage, string.format('%.0f', turns_of(K, stage) + 1))
end

local function put(K, queue, stage, id, priority, order)
  for _, key in ipairs({ queue, queue .. ':oldest' }) do
    if expect('ZCARD', key) then redis.call('DEL', key) end
  end
  enqueue(queue, id, priority, order)
  redis.call('ZADD', queue .. ':oldest', string.format('%.17g', turns_of(K, stage) + order * 2 ^ -42), id)
end

local function unqueue(queue, id)
  redis.pcall('ZREM', queue, id)
  redis.pcall('ZREM', queue .. ':oldest', id)
end

local function to_work(K, id, stage, needs, priority, order)
  if stage ~= 'build' or needs ~= '' then redis.call('SADD', K.queues, stage .. ':' .. needs) end
  put(K, queue_of(K, stage, needs), stage, id, priority, order)
end

local function to_gate(K, id, stage, priority, order) put(K, K.stages .. stage, stage, id, priority, order) end

local function move(K, id, from, to)
  if from ~= 'pending' then redis.call('ZREM', K.states .. from, id) end
  if to ~= 'pending' then redis.call('ZADD', K.states .. to, now_ms(), id) end
end
