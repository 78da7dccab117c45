-- The queues of tasks that wait. A queue orders its tasks by priority, then by age: the score is
-- the priority less order * 2^-42. With priorities within +-1000, in thousandths, that holds for
-- 2^32 tasks, and a plain `ZADD queue 100 id` by hand still means priority 100. Beside a queue
-- stands `<queue>:oldest`, which orders the same tasks by the number of claims of their stage that
-- came before them. A queue of another type than ours was made by hand, and is replaced.
-- queue_of(stage, needs): the queue of a stage's tasks that need the same capabilities; `needs` is
-- sorted, with commas between. put(queue, stage, id, priority, order), unqueue(queue, id): into a
-- queue and out of it. queue_work(id, stage, needs, priority, order): queue a task that is to be
-- built (designed, …), and note that its queue exists. queue_at_gate(id, stage, priority, order).
-- claims_so_far(stage), count_claim(stage): the number of a stage's claims; one more.
-- move(id, from, to): from one state's index to another's; a pending task stands in its queue and
-- in no index.
-- KEYS priority ZSET · stage* ZSET · state* ZSET · queues SET
-- include: clock
-- include: expect
local function queue_of(stage, needs)
  if stage == 'build' and needs == '' then return K.priority end
  return K.stage .. stage .. (needs == '' and '' or ':' .. needs)
end

local function claims_so_far(stage)
  local count = redis.pcall('HGET', K.priority .. ':turns', stage)
  return type(count) == 'string' and tonumber(count) or 0
end

local function count_claim(stage)
  local counts = K.priority .. ':turns'
  if expect('HLEN', counts) then redis.call('DEL', counts) end
  redis.call('HSET', counts, stage, string.format('%.0f', claims_so_far(stage) + 1))
end

local function put(queue, stage, id, priority, order)
  for _, key in ipairs({ queue, queue .. ':oldest' }) do
    if expect('ZCARD', key) then redis.call('DEL', key) end
  end
  local age, bounded = order * 2 ^ -42, math.max(-1000, math.min(1000, priority))
  redis.call('ZADD', queue, string.format('%.17g', bounded - age), id)
  redis.call('ZADD', queue .. ':oldest', string.format('%.17g', claims_so_far(stage) + age), id)
end

local function unqueue(queue, id)
  redis.pcall('ZREM', queue, id)
  redis.pcall('ZREM', queue .. ':oldest', id)
end

local function queue_work(id, stage, needs, priority, order)
  if stage ~= 'build' or needs ~= '' then redis.call('SADD', K.queues, stage .. ':' .. needs) end
  put(queue_of(stage, needs), stage, id, priority, order)
end

local function queue_at_gate(id, stage, priority, order)
  put(K.stage .. stage, stage, id, priority, order)
end

local function move(id, from, to)
  if from ~= 'pending' then redis.call('ZREM', K.state .. from, id) end
  if to ~= 'pending' then redis.call('ZADD', K.state .. to, now_ms(), id) end
end
