-- task/pass_on.lua: a gate (review, security, test) lets submitted work through to the next one.
-- KEYS reviews* HASH
-- ARGV id · token · note: '' leaves the author's · commit: the one judged, '' for any · record: a
--   JSON object, or ''
-- Returns {OK, next stage} · {MISSING} · {STALE, state, holder} · {STATE, state} · {MOVED, commit}
--   · {OWN} · {SPOILED, key}.
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
-- include: author
-- include: record
local id, now = ARGV[2], now_ms()
local task = K.tasks .. id

local refused, held = held_task(task, ARGV[3])
if refused then return refused end
local gate = next_gate(held)
if held.state == 'claimed' or not gate then return { 'STATE', held.state } end
if ARGV[5] ~= '' and ARGV[5] ~= held.commit then return { 'MOVED', held.commit } end
if JUDGING[held.stage] and is_author(held, held.holder, held.process) then return { 'OWN' } end
spoiled = expect_claim(K, held.holder, held.state, 'submitted') or expect_record(KEYS[14], id, ARGV[6])
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'submitted', 'stage', gate, 'holder', '', 'gate_attempts', 0, 'updated_ms', now)
if ARGV[4] ~= '' then redis.call('HSET', task, 'note', ARGV[4]) end
add_record(K, KEYS[14], id, held, ARGV[6])
move(K, id, held.state, 'submitted')
to_gate(K, id, gate, held.priority, held.order)
end_claim(K, id, held.holder)
emit(K.log, K.channels, 'task_passed',
  { task = id, title = held.title, agent = held.holder, gate = held.stage, stage = gate, commit = held.commit })
return { 'OK', gate }
