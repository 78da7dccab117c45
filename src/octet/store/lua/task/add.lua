-- task/add.lua: store tasks and queue them, all of them or none. A task whose dependencies are not
-- all done is blocked.
-- KEYS task* HASH · state* ZSET · queues SET · after* SET · before* SET · task_seq STRING
-- ARGV leader: the agent that adds them as orchestrator, or '' · leader_incarnation · tasks…: a
--   JSON object each, with id ('' for the next number), title, priority, stage, needs (sorted,
--   commas between), after (ids, of this call or before), fields (field, value, …)
-- Returns {OK, id, …} in the order given · {EXISTS, id} · {MISSING, id} of a dependency · {FULL} ·
--   {LED, agent, epoch, ms}: another orchestrator leads · {SPOILED, key}.
-- include: expect
-- include: emit
-- include: task_queues
-- include: new_task
-- include: must_lead
-- include: check_task_keys
local tasks, ids = {}, {}

-- The task's dependencies that are not done; nil and the refusal to return for one that is missing.
local function open_dependencies(task)
  local open = {}
  for _, other in ipairs(task.after) do
    local state = not ids[other] and redis.pcall('HGET', K.task .. other, 'state')
    if not ids[other] and type(state) ~= 'string' then return nil, { 'MISSING', other } end
    local before = expect('SCARD', K.before .. other)
    if before then return nil, before end
    if state ~= 'done' then open[#open + 1] = other end
  end
  return open
end

local function new_id(task)
  if task.id ~= '' then return task.id, redis.call('INCR', K.task_seq) end
  local id, order
  repeat id, order = next_id() until not ids[id]
  return id, order
end

local function store(task)
  local id, order = new_id(task)
  local blocked = #task.open > 0
  local fields = { 'title', task.title, 'priority', task.priority, 'stage', task.stage,
    'work', task.stage, 'needs', task.needs, 'state', blocked and 'blocked' or 'pending',
    'after', #task.after > 0 and cjson.encode(task.after) or '[]' }
  for _, part in ipairs(task.fields) do fields[#fields + 1] = part end
  new_task(K.task .. id, id, order, fields)
  if blocked then
    redis.call('DEL', K.after .. id)
    redis.call('SADD', K.after .. id, unpack(task.open))
    for _, other in ipairs(task.open) do redis.call('SADD', K.before .. other, id) end
    move(id, 'pending', 'blocked')
  else
    queue_work(id, task.stage, task.needs, task.priority, order)
  end
  emit('task_added', { task = id, title = task.title, priority = task.priority,
    state = blocked and 'blocked' or nil })
  return id
end

spoiled = must_lead(A.leader, A.leader_incarnation) or expect_number(K.task_seq)
  or expect('ZCARD', K.state .. 'blocked')
if spoiled then return spoiled end
if redis.call('SCARD', K.queues) >= 256 then return { 'FULL' } end
for n, text in ipairs(A.tasks) do
  local task = cjson.decode(text)
  local taken = task.id ~= '' and (ids[task.id] or redis.call('EXISTS', K.task .. task.id) == 1)
  if taken then return { 'EXISTS', task.id } end
  tasks[n], ids[task.id] = task, task.id ~= '' or nil
end
for _, task in ipairs(tasks) do
  local refused
  task.open, refused = open_dependencies(task)
  if refused then return refused end
end
local reply = { 'OK' }
for n, task in ipairs(tasks) do reply[n + 1] = store(task) end
return reply
