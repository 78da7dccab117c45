-- task_give_back.lua: end a claim without a result: released (no attempt counted) or failed (counted; dead after max_attempts).
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] tasks:status: prefix · KEYS[3] tasks:priority ZSET · KEYS[4] tasks:stage: prefix
-- KEYS[5] tasks:state: prefix · KEYS[6] agents:claims: prefix · KEYS[7] agents:locks: prefix · KEYS[8] locks: prefix
-- KEYS[9] locks:index SET · KEYS[10] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] reason · ARGV[4] '1' when the attempt counts · ARGV[5] channel prefix
-- Returns {OK, new state} · {MISSING} · {STALE, state, holder}.
-- include: clock
-- include: emit
-- include: enqueue
-- include: held_task
-- include: free_locks
-- include: give_back
local id, log, channels = ARGV[1], KEYS[10], ARGV[5]

local refused = held_task(KEYS[1], ARGV[2])
if refused then return refused end
local agent = redis.call('HGET', KEYS[1], 'holder')
if ARGV[4] == '1' then emit(log, channels, 'task_failed', { task = id, agent = agent, reason = ARGV[3] }) end
local state = give_back({ tasks = KEYS[2], priority = KEYS[3], stages = KEYS[4], states = KEYS[5], log = log, channels = channels },
  id, agent, ARGV[3], ARGV[4] == '1')
redis.call('SREM', KEYS[6] .. agent, id)
free_locks({ agent_locks = KEYS[7] .. agent, locks = KEYS[8], index = KEYS[9], log = log, channels = channels }, agent,
  function(lock) return lock.task == id end)
return { 'OK', state }
