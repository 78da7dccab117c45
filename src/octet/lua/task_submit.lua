-- task_submit.lua: the holder hands built work on to the next stage; its claim and the locks of the task end.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] the next stage's queue ZSET · KEYS[3] tasks:state: prefix · KEYS[4] agents:claims: prefix
-- KEYS[5] agents:locks: prefix · KEYS[6] locks: prefix · KEYS[7] locks:index SET · KEYS[8] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] branch · ARGV[4] commit · ARGV[5] note · ARGV[6] channel prefix · ARGV[7] next stage
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: held_task
-- include: read_lock
-- include: free_locks
local task, queue, states, index, log, channels = KEYS[1], KEYS[2], KEYS[3], KEYS[7], KEYS[8], ARGV[6]
local id, now = ARGV[1], now_ms()

local refused, held = held_task(task, ARGV[2])
if refused then return refused end
if held.state ~= 'claimed' then return { 'STATE', held.state } end
local agent, claims, locks = held.holder, KEYS[4] .. held.holder, KEYS[5] .. held.holder
local spoiled = expect('ZCARD', queue, states .. 'claimed', states .. 'submitted') or expect('SCARD', claims, locks, index)
  or expect('XLEN', log)
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'submitted', 'stage', ARGV[7], 'holder', '', 'author', agent, 'branch', ARGV[3], 'commit', ARGV[4],
  'note', ARGV[5], 'progress', 100, 'submitted_ms', now, 'updated_ms', now)
redis.call('ZREM', states .. 'claimed', id)
redis.call('ZADD', states .. 'submitted', now, id)
redis.call('SREM', claims, id)
enqueue(queue, id, held.priority, held.order)
free_locks({ agent_locks = locks, locks = KEYS[6], index = index, log = log, channels = channels }, agent,
  function(lock) return lock.scope == 'task' and lock.task == id end)
emit(log, channels, 'task_submitted', { task = id, title = held.title, agent = agent, branch = ARGV[3], commit = ARGV[4] })
return { 'OK' }
