-- task_complete.lua: the task is done. One that has a branch is done only from the merge stage.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] tasks:state: prefix · KEYS[3] agents:claims: prefix · KEYS[4] agents:locks: prefix
-- KEYS[5] locks: prefix · KEYS[6] locks:index SET · KEYS[7] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] result · ARGV[4] merge commit, or '' · ARGV[5] channel prefix
-- Returns {OK} (also when this very token completed it before) · {MISSING} · {STALE, state, holder} · {STATE, state} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: held_task
-- include: read_lock
-- include: free_locks
local task, states, index, log, channels = KEYS[1], KEYS[2], KEYS[6], KEYS[7], ARGV[5]
local id, now = ARGV[1], now_ms()

local refused, held = held_task(task, ARGV[2])
if held and held.state == 'done' and held.token == ARGV[2] then return { 'OK' } end
if refused then return refused end
if held.state == 'claimed' and held.branch ~= '' then return { 'STATE', 'claimed with a branch' } end
local agent, claims, locks = held.holder, KEYS[3] .. held.holder, KEYS[4] .. held.holder
local spoiled = expect('ZCARD', states .. held.state, states .. 'done') or expect('SCARD', claims, locks, index) or expect('XLEN', log)
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'done', 'holder', '', 'result', ARGV[3], 'merge_commit', ARGV[4], 'done_by', agent,
  'progress', 100, 'done_ms', now, 'updated_ms', now)
redis.call('ZREM', states .. held.state, id)
redis.call('ZADD', states .. 'done', now, id)
redis.call('SREM', claims, id)
free_locks({ agent_locks = locks, locks = KEYS[5], index = index, log = log, channels = channels }, agent,
  function(lock) return lock.scope == 'task' and lock.task == id end)
emit(log, channels, 'task_completed', { task = id, title = held.title, agent = agent, result = brief(ARGV[3]), commit = ARGV[4] })
return { 'OK' }
