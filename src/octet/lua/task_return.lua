-- task_return.lua: a later stage sends submitted work back to be built again, with what is to change.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] tasks:priority ZSET · KEYS[3] tasks:state: prefix · KEYS[4] agents:claims: prefix
-- KEYS[5] agents:locks: prefix · KEYS[6] locks: prefix · KEYS[7] locks:index SET · KEYS[8] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] findings · ARGV[4] channel prefix
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: held_task
-- include: read_lock
-- include: free_locks
local task, queue, states, index, log, id, channels = KEYS[1], KEYS[2], KEYS[3], KEYS[7], KEYS[8], ARGV[1], ARGV[4]

local refused, held = held_task(task, ARGV[2])
if refused then return refused end
if held.state ~= 'merging' then return { 'STATE', held.state } end
local agent, claims, locks = held.holder, KEYS[4] .. held.holder, KEYS[5] .. held.holder
local spoiled = expect('ZCARD', queue, states .. 'merging') or expect('SCARD', claims, locks, index) or expect('XLEN', log)
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'pending', 'stage', 'build', 'holder', '', 'findings', ARGV[3], 'updated_ms', now_ms())
redis.call('ZREM', states .. 'merging', id)
redis.call('SREM', claims, id)
enqueue(queue, id, held.priority, held.order)
free_locks({ agent_locks = locks, locks = KEYS[6], index = index, log = log, channels = channels }, agent,
  function(lock) return lock.scope == 'task' and lock.task == id end)
emit(log, channels, 'task_returned', { task = id, title = held.title, agent = agent, author = held.author, findings = brief(ARGV[3]) })
return { 'OK' }
