-- lock_end_turn.lua: free the locks that an agent took for its turn and for no task.
-- KEYS[1] agents:locks:<agent> SET · KEYS[2] locks: prefix · KEYS[3] locks:index SET · KEYS[4] log STREAM
-- ARGV[1] channel prefix · ARGV[2] agent
-- Returns {OK, resource, …}.
-- include: clock
-- include: emit
-- include: free_locks
local freed = free_locks({ agent_locks = KEYS[1], locks = KEYS[2], index = KEYS[3], log = KEYS[4], channels = ARGV[1] }, ARGV[2],
  function(lock) return lock.scope == 'turn' end)
return { 'OK', unpack(freed) }
