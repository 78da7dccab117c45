-- task/submit.lua: the holder hands built work on to its first gate; its claim and the task's locks
-- end.
-- KEYS task* HASH
-- ARGV id · token · branch · commit · note · gates: spaces between, '' for the task's own
-- Returns {OK, first gate} · {MISSING} · {STALE, state, holder} · {STATE, state} · {SPOILED, key}.
-- include: clock
-- include: emit
-- include: task_queues
-- include: held_task
-- include: check_task_keys
-- include: end_claim
local id, key, now = A.id, K.task .. A.id, now_ms()

local refused, held = held_task(key, A.token)
if refused then return refused end
local gates, gate = first_gate(held, A.gates)
if held.state ~= 'claimed' then return { 'STATE', held.state } end
spoiled = expect_claim(held.holder, 'claimed', 'submitted')
if spoiled then return spoiled end
redis.call('HSET', key, 'state', 'submitted', 'stage', gate, 'gates', gates, 'holder', '',
  'author', held.holder, 'author_process', held.process, 'branch', A.branch, 'commit', A.commit,
  'note', A.note, 'progress', 100, 'gate_attempts', 0, 'submitted_ms', now, 'updated_ms', now)
move(id, 'claimed', 'submitted')
queue_at_gate(id, gate, held.priority, held.order)
end_claim(id, held.holder)
emit('task_submitted', { task = id, title = held.title, agent = held.holder, branch = A.branch,
  commit = A.commit, stage = gate })
return { 'OK', gate }
