-- lock/end_turn.lua: free the locks that an agent took for its turn and for no task.
-- KEYS agent_locks(agent) SET · lock* STRING · locks_index ZSET · log STREAM · incarnations HASH ·
--   channel* PUBSUB
-- ARGV agent · incarnation
-- Returns {OK, resource, …} · {GONE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: free_locks
if redis.call('HGET', KEYS[5], ARGV[2]) ~= ARGV[3] then return { 'GONE' } end
local spoiled = expect('SCARD', KEYS[1]) or expect('ZCARD', KEYS[3]) or expect('XLEN', KEYS[4])
if spoiled then return spoiled end
local freed = free_locks({ agent_locks = KEYS[1], locks = KEYS[2], index = KEYS[3], log = KEYS[4], channels = ARGV[1] }, ARGV[2],
  function(lock) return lock.scope == 'turn' end)
table.insert(freed, 1, 'OK')
return freed
