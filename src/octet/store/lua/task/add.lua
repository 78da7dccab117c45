-- task/add.lua: store tasks and queue them, all of them or none. One whose dependencies are not all
-- done is blocked.
-- KEYS task_seq STRING · orchestrator HASH
-- ARGV leader: the agent that adds them as orchestrator, or '' · leader_incarnation · tasks…: a
--   JSON object each, with id ('' for the next number), title, priority, stage, needs (sorted,
--   commas between), after (ids, of this call or before), fields (field, value, …)
-- Returns {OK, id, …} in the order given · {EXISTS, id} · {MISSING, id} of a dependency · {FULL}
--   {LED, agent, epoch, ms}: another orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: new_task
-- include: must_lead
-- include: task_keys
local seq, tasks, ids = KEYS[14], {}, {}

-- The task's dependencies that are not done; nil and the refusal to return for one that there is
-- not.
local function open_after(task)
  local open = {}
  for _, other in ipairs(task.after) do
    local state = not ids[other] and redis.pcall('HGET', K.tasks .. other, 'state')
    if not ids[other] and type(state) ~= 'string' then return nil, { 'MISSING', other } end
    local before = expect('SCARD', K.before .. other)
    if before then return nil, before end
    if state ~= 'done' then open[#open + 1] = other end
  end
  return open
end

local function store(task)
  local id, order = task.id, nil
  if id == '' then
    repeat id, order = next_id(seq, K.tasks) until not ids[id]
  else
    order = redis.call('INCR', seq)
  end
  local blocked = #task.open > 0
  local fields = { 'title', task.title, 'priority', task.priority, 'stage', task.stage, 'work', task.stage, 'needs', task.needs,
    'state', blocked and 'blocked' or 'pending', 'after', #task.after > 0 and cjson.encode(task.after) or '[]' }
  for _, part in ipairs(task.fields) do fields[#fields + 1] = part end
  new_task(K.tasks .. id, id, order, fields)
  if blocked then
    redis.call('DEL', K.after .. id)
    redis.call('SADD', K.after .. id, unpack(task.open))
    for _, other in ipairs(task.open) do redis.call('SADD', K.before .. other, id) end
    move(K, id, 'pending', 'blocked')
  else
    to_work(K, id, task.stage, task.needs, task.priority, order)
  end
  emit(K.log, K.channels, 'task_added', { task = id, title = task.title, priority = task.priority, state = blocked and 'blocked' or nil })
  return id
end

spoiled = must_lead(KEYS[15], ARGV[2], ARGV[3]) or expect_number(seq) or expect('ZCARD', K.states .. 'blocked')
if spoiled then return spoiled end
if redis.call('SCARD', K.queues) >= 256 then return { 'FULL' } end
for i = 4, #ARGV do
  local task = cjson.decode(ARGV[i])
  if task.id ~= '' and (ids[task.id] or redis.call('EXISTS', K.tasks .. task.id) == 1) then return { 'EXISTS', task.id } end
  tasks[#tasks + 1], ids[task.id] = task, task.id ~= '' or nil
end
for _, task in ipairs(tasks) do
  local refused
  task.open, refused = open_after(task)
  if refused then return refused end
end
local reply = { 'OK' }
for _, task in ipairs(tasks) do reply[#reply + 1] = store(task) end
return reply
