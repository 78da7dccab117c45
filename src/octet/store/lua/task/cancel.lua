-- task/cancel.lua: a task is not wanted any more; whoever holds it holds it no longer. What depends
-- on it stays blocked.
-- KEYS orchestrator HASH
-- ARGV id · reason · leader: the agent that cancels it as orchestrator, or '' · leader_incarnation
-- Returns {OK, holder, or ''} · {MISSING} · {STATE, state} · {LED, agent, epoch, ms}: another
--   orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: free_locks
-- include: must_lead
-- include: task_keys
-- include: end_claim
local id = ARGV[2]
local task = facts_of(K.tasks .. id)

local refused = must_lead(KEYS[14], ARGV[4], ARGV[5])
if refused then return refused end
if not task then return { 'MISSING' } end
-- Not while it is being merged: the branch may have moved already, and what is in it is done.
local closed = { merging = true, done = true, cancelled = true }
if closed[task.state] then return { 'STATE', task.state } end
spoiled = expect_claim(K, task.holder, task.state, 'cancelled')
if spoiled then return spoiled end
if task.state == 'pending' then unqueue(queue_of(K, task.work, task.needs), id) end
if task.state == 'submitted' then unqueue(K.stages .. task.stage, id) end
move(K, id, task.state, 'cancelled')
redis.call('HDEL', K.scopes, id)
redis.call('HSET', K.tasks .. id, 'state', 'cancelled', 'holder', '', 'last_reason', ARGV[3], 'updated_ms', now_ms())
if task.holder ~= '' then end_claim(K, id, task.holder) end
emit(K.log, K.channels, 'task_cancelled', { task = id, title = task.title, agent = task.holder, reason = brief(ARGV[3]) })
return { 'OK', task.holder }
