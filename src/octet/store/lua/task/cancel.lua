-- task/cancel.lua: a task is no longer wanted; its claim, if any, ends. What depends on it stays
-- blocked.
-- KEYS task* HASH · stage* ZSET · scopes HASH
-- ARGV id · reason · leader: the agent that cancels it as orchestrator, or '' · leader_incarnation
-- Returns {OK, holder, or ''} · {MISSING} · {STATE, state} · {LED, agent, epoch, ms}: another
--   orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: emit
-- include: task_queues
-- include: task_facts
-- include: must_lead
-- include: check_task_keys
-- include: end_claim
local id = A.id
local task = facts_of(K.task .. id)

local refused = must_lead(A.leader, A.leader_incarnation)
if refused then return refused end
if not task then return { 'MISSING' } end
-- Not while it is being merged: the branch may have moved already, and what is in it is done.
local closed = { merging = true, done = true, cancelled = true }
if closed[task.state] then return { 'STATE', task.state } end
spoiled = expect_claim(task.holder, task.state, 'cancelled')
if spoiled then return spoiled end
if task.state == 'pending' then unqueue(queue_of(task.work, task.needs), id) end
if task.state == 'submitted' then unqueue(K.stage .. task.stage, id) end
move(id, task.state, 'cancelled')
redis.call('HDEL', K.scopes, id)
redis.call('HSET', K.task .. id, 'state', 'cancelled', 'holder', '', 'last_reason', A.reason,
  'updated_ms', now_ms())
if task.holder ~= '' then end_claim(id, task.holder) end
emit('task_cancelled',
  { task = id, title = task.title, agent = task.holder, reason = brief(A.reason) })
return { 'OK', task.holder }
