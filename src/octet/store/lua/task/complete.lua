-- task/complete.lua: the task is done, and what waited for it may begin. One that has a branch is
-- done only from the merge stage.
-- KEYS reviews* HASH
-- ARGV id · token · result · merge_commit: or '' · record: a JSON object, or ''
-- Returns {OK} (also when this very token completed it before) · {MISSING} · {STALE, state, holder}
--   · {STATE, state} · {SPOILED, key}.
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
-- include: unblock
-- include: record
local id, now = ARGV[2], now_ms()
local task = K.tasks .. id

local refused, held = held_task(task, ARGV[3])
if held and held.state == 'done' and held.token == ARGV[3] then return { 'OK' } end
if refused then return refused end
if held.state == 'claimed' and held.branch ~= '' then return { 'STATE', 'claimed with a branch' } end
if held.state ~= 'claimed' and held.state ~= 'merging' then return { 'STATE', held.state } end
spoiled = expect_claim(K, held.holder, held.state, 'done') or expect('SCARD', K.before .. id) or expect('ZCARD', K.states .. 'blocked')
  or expect_record(KEYS[14], id, ARGV[6])
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'done', 'holder', '', 'result', ARGV[4], 'merge_commit', ARGV[5], 'done_by', held.holder,
  'progress', 100, 'done_ms', now, 'updated_ms', now)
add_record(K, KEYS[14], id, held, ARGV[6])
move(K, id, held.state, 'done')
redis.call('HDEL', K.scopes, id)
end_claim(K, id, held.holder)
emit(K.log, K.channels, 'task_completed',
  { task = id, title = held.title, agent = held.holder, result = brief(ARGV[4]), commit = ARGV[5] })
unblock(K, id)
return { 'OK' }
