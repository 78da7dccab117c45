-- task/requeue.lua: end a claim without a result: released (no attempt counted) or failed
-- (counted; dead after max_attempts).
-- ARGV id · token · reason · counts: 1 where the attempt counts, else 0
-- Returns {OK, new state} · {MISSING} · {STALE, state, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: held_task
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: free_locks
-- include: give_back
-- include: task_keys
-- include: end_claim
local id, reason, counts = ARGV[2], ARGV[4], ARGV[5] == '1'

local refused, held = held_task(K.tasks .. id, ARGV[3])
if refused then return refused end
spoiled = expect_queues(K) or expect_claim(K, held.holder, held.state, 'dead')
if spoiled then return spoiled end
if counts then emit(K.log, K.channels, 'task_failed', { task = id, agent = held.holder, reason = brief(reason) }) end
local state = give_back(K, id, held.holder, reason, counts)
end_claim(K, id, held.holder)
return { 'OK', state }
