-- task/retry.lua: a dead or cancelled task waits again, with all its attempts before it; blocked
-- where its dependencies are not done.
-- KEYS task* HASH · state* ZSET · after* SET
-- ARGV id · leader: the agent that retries it as orchestrator, or '' · leader_incarnation
-- Returns {OK, new state} · {MISSING} · {STATE, state} · {LED, agent, epoch, ms}: another
--   orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: task_queues
-- include: task_facts
-- include: must_lead
-- include: check_task_keys
local id = A.id
local task = facts_of(K.task .. id)

local refused = must_lead(A.leader, A.leader_incarnation)
if refused then return refused end
if not task then return { 'MISSING' } end
if task.state ~= 'dead' and task.state ~= 'cancelled' then return { 'STATE', task.state } end
spoiled = expect('ZCARD', K.state .. task.state, K.state .. 'blocked')
  or expect('SCARD', K.after .. id)
if spoiled then return spoiled end
local state = redis.call('SCARD', K.after .. id) > 0 and 'blocked' or 'pending'
move(id, task.state, state)
if state == 'pending' then queue_work(id, task.work, task.needs, task.priority, task.order) end
redis.call('HSET', K.task .. id, 'state', state, 'stage', task.work, 'attempts', 0,
  'gate_attempts', 0, 'progress', 0, 'updated_ms', now_ms())
emit('task_retried', { task = id, title = task.title, state = state })
return { 'OK', state }
