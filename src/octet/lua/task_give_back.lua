-- task_give_back.lua: end a claim without a result: released (no attempt counted) or failed (counted; dead after max_attempts).
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] tasks:status: prefix · KEYS[3] tasks:priority ZSET · KEYS[4] tasks:stage: prefix
-- KEYS[5] tasks:state: prefix · KEYS[6] agents:claims: prefix · KEYS[7] agents:locks: prefix · KEYS[8] locks: prefix
-- KEYS[9] locks:index SET · KEYS[10] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] reason · ARGV[4] '1' when the attempt counts · ARGV[5] channel prefix
-- Returns {OK, new state} · {MISSING} · {STALE, state, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: held_task
-- include: read_lock
-- include: free_locks
-- include: give_back
local id, index, log, channels = ARGV[1], KEYS[9], KEYS[10], ARGV[5]
local K = { tasks = KEYS[2], priority = KEYS[3], stages = KEYS[4], states = KEYS[5], log = log, channels = channels }

local refused, held = held_task(KEYS[1], ARGV[2])
if refused then return refused end
local agent, claims, locks = held.holder, KEYS[6] .. held.holder, KEYS[7] .. held.holder
local spoiled = expect_queues(K) or expect('SCARD', claims, locks, index) or expect('XLEN', log)
if spoiled then return spoiled end
if ARGV[4] == '1' then emit(log, channels, 'task_failed', { task = id, agent = agent, reason = brief(ARGV[3]) }) end
local state = give_back(K, id, agent, ARGV[3], ARGV[4] == '1')
redis.call('SREM', claims, id)
free_locks({ agent_locks = locks, locks = KEYS[8], index = index, log = log, channels = channels }, agent,
  function(lock) return lock.scope == 'task' and lock.task == id end)
return { 'OK', state }
