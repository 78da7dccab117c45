-- task/requeue.lua: end a claim without a result: released (no attempt counted) or failed (counted;
-- dead after max_attempts).
-- KEYS task* HASH
-- ARGV id · token · reason · counts: 1 where the attempt counts, else 0
-- Returns {OK, new state} · {MISSING} · {STALE, state, holder} · {SPOILED, key}.
-- include: emit
-- include: held_task
-- include: requeue
-- include: check_task_keys
-- include: end_claim
local id, reason, counts = A.id, A.reason, A.counts == '1'

local refused, held = held_task(K.task .. id, A.token)
if refused then return refused end
spoiled = expect_queues() or expect_claim(held.holder, held.state, 'dead')
if spoiled then return spoiled end
if counts then
  emit('task_failed', { task = id, agent = held.holder, reason = brief(reason) })
end
local state = requeue(id, held.holder, reason, counts)
end_claim(id, held.holder)
return { 'OK', state }
