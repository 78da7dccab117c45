-- task_complete.lua: the task is done. One that has a branch is done only from the merge stage.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] tasks:state: prefix · KEYS[3] agents:claims: prefix · KEYS[4] agents:locks: prefix
-- KEYS[5] locks: prefix · KEYS[6] locks:index SET · KEYS[7] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] result · ARGV[4] merge commit, or '' · ARGV[5] channel prefix
-- Returns {OK} (also when this very token completed it before) · {MISSING} · {STALE, state, holder} · {STATE, state}.
-- include: clock
-- include: emit
-- include: held_task
-- include: free_locks
local task, states, log, channels = KEYS[1], KEYS[2], KEYS[7], ARGV[5]
local id, now = ARGV[1], now_ms()

local held = redis.call('HMGET', task, 'state', 'holder', 'branch', 'title', 'token')
if held[1] == 'done' and held[5] == ARGV[2] then return { 'OK' } end
local refused = held_task(task, ARGV[2])
if refused then return refused end
if held[1] == 'claimed' and held[3] and held[3] ~= '' then return { 'STATE', 'claimed with a branch' } end
local agent = held[2]
redis.call('HSET', task, 'state', 'done', 'holder', '', 'result', ARGV[3], 'merge_commit', ARGV[4], 'done_by', agent,
  'progress', 100, 'done_ms', now, 'updated_ms', now)
redis.call('ZREM', states .. held[1], id)
redis.call('ZADD', states .. 'done', now, id)
redis.call('SREM', KEYS[3] .. agent, id)
free_locks({ agent_locks = KEYS[4] .. agent, locks = KEYS[5], index = KEYS[6], log = log, channels = channels }, agent,
  function(lock) return lock.task == id end)
emit(log, channels, 'task_completed', { task = id, title = held[4], agent = agent, result = ARGV[3], commit = ARGV[4] })
return { 'OK' }
