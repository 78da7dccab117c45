-- task/submit.lua: the holder hands built work on to its first gate; its claim and the locks of the
-- task end.
-- ARGV id · token · branch · commit · note · gates: spaces between, '' for the task's own
-- Returns {OK, first gate} · {MISSING} · {STALE, state, holder} · {STATE, state} · {SPOILED, key}.
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
-- include: task_keys
-- include: end_claim
-- include: first_gate
local id, now = ARGV[2], now_ms()
local task = K.tasks .. id

local refused, held = held_task(task, ARGV[3])
if refused then return refused end
local gates, gate = first_gate(held, ARGV[7])
if held.state ~= 'claimed' then return { 'STATE', held.state } end
spoiled = expect_claim(K, held.holder, 'claimed', 'submitted')
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'submitted', 'stage', gate, 'gates', gates, 'holder', '', 'author', held.holder,
  'author_process', held.process, 'branch', ARGV[4], 'commit', ARGV[5], 'note', ARGV[6], 'progress', 100, 'gate_attempts', 0,
  'submitted_ms', now, 'updated_ms', now)
move(K, id, 'claimed', 'submitted')
to_gate(K, id, gate, held.priority, held.order)
end_claim(K, id, held.holder)
emit(K.log, K.channels, 'task_submitted',
  { task = id, title = held.title, agent = held.holder, branch = ARGV[4], commit = ARGV[5], stage = gate })
return { 'OK', gate }
