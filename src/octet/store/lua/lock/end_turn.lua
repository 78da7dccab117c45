-- lock/end_turn.lua: free the locks that an agent took for its turn and for no task.
-- KEYS agent_locks(agent) SET · locks_index ZSET · log STREAM · incarnations HASH
-- ARGV agent · incarnation
-- Returns {OK, resource, …} · {GONE} · {SPOILED, key}.
-- include: expect
-- include: free_locks
if redis.call('HGET', K.incarnations, A.agent) ~= A.incarnation then return { 'GONE' } end
local spoiled = expect('SCARD', K.agent_locks) or expect('ZCARD', K.locks_index)
  or expect('XLEN', K.log)
if spoiled then return spoiled end
local freed = free_locks(K.agent_locks, A.agent, function(lock) return lock.scope == 'turn' end)
table.insert(freed, 1, 'OK')
return freed
