-- task_submit.lua: the holder hands built work on to the next stage; its claim and the locks of the task end.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] the next stage's queue ZSET · KEYS[3] tasks:state: prefix · KEYS[4] agents:claims: prefix
-- KEYS[5] agents:locks: prefix · KEYS[6] locks: prefix · KEYS[7] locks:index SET · KEYS[8] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] branch · ARGV[4] commit · ARGV[5] note · ARGV[6] channel prefix · ARGV[7] next stage
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state}.
-- include: clock
-- include: emit
-- include: enqueue
-- include: held_task
-- include: free_locks
local task, states, log, channels = KEYS[1], KEYS[3], KEYS[8], ARGV[6]
local id, now = ARGV[1], now_ms()

local refused = held_task(task, ARGV[2])
if refused then return refused end
local held = redis.call('HMGET', task, 'state', 'holder', 'priority', 'order', 'title')
if held[1] ~= 'claimed' then return { 'STATE', held[1] } end
local agent = held[2]
redis.call('HSET', task, 'state', 'submitted', 'stage', ARGV[7], 'holder', '', 'author', agent, 'branch', ARGV[3], 'commit', ARGV[4],
  'note', ARGV[5], 'progress', 100, 'submitted_ms', now, 'updated_ms', now)
redis.call('ZREM', states .. 'claimed', id)
redis.call('ZADD', states .. 'submitted', now, id)
redis.call('SREM', KEYS[4] .. agent, id)
enqueue(KEYS[2], id, tonumber(held[3]), tonumber(held[4]))
free_locks({ agent_locks = KEYS[5] .. agent, locks = KEYS[6], index = KEYS[7], log = log, channels = channels }, agent,
  function(lock) return lock.task == id end)
emit(log, channels, 'task_submitted', { task = id, title = held[5], agent = agent, branch = ARGV[3], commit = ARGV[4] })
return { 'OK' }
