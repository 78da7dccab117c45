-- task/retry.lua: a dead or cancelled task waits again, with all its attempts before it; blocked
-- where its dependencies are not done.
-- KEYS orchestrator HASH
-- ARGV id · leader: the agent that retries it as orchestrator, or '' · leader_incarnation
-- Returns {OK, new state} · {MISSING} · {STATE, state} · {LED, agent, epoch, ms}: another
--   orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: must_lead
-- include: task_keys
local id = ARGV[2]
local task = facts_of(K.tasks .. id)

local refused = must_lead(KEYS[14], ARGV[3], ARGV[4])
if refused then return refused end
if not task then return { 'MISSING' } end
if task.state ~= 'dead' and task.state ~= 'cancelled' then return { 'STATE', task.state } end
spoiled = expect('ZCARD', K.states .. task.state, K.states .. 'blocked') or expect('SCARD', K.after .. id)
if spoiled then return spoiled end
local state = redis.call('SCARD', K.after .. id) > 0 and 'blocked' or 'pending'
move(K, id, task.state, state)
if state == 'pending' then to_work(K, id, task.work, task.needs, task.priority, task.order) end
redis.call('HSET', K.tasks .. id, 'state', state, 'stage', task.work, 'attempts', 0, 'gate_attempts', 0, 'progress', 0,
  'updated_ms', now_ms())
emit(K.log, K.channels, 'task_retried', { task = id, title = task.title, state = state })
return { 'OK', state }
