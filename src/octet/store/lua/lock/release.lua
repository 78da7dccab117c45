-- lock/release.lua: free one lock, shown its token; or any lock, by a person's word. The waiters
-- for it are called.
-- KEYS lock* STRING · agent_locks* SET · locks_index ZSET · log STREAM
-- ARGV resource · token · by: the person that breaks it, or '' where the token is shown
-- Returns {OK, holder} · {MISSING} · {STALE, holder} · {SPOILED, key}.
-- include: expect
-- include: emit
-- include: read_lock
-- include: lock_paths
-- include: lock_queue
local resource, broken = A.resource, A.by ~= ''
local lock = read_lock(K.lock .. resource)
if not lock then return { 'MISSING' } end
local holder = lock.holder
if not broken and lock.token ~= A.token then return { 'STALE', holder } end
local spoiled = expect('SCARD', K.agent_locks .. holder) or expect('ZCARD', K.locks_index)
  or expect('XLEN', K.log)
if spoiled then return spoiled end
redis.call('DEL', K.lock .. resource)
redis.call('SREM', K.agent_locks .. holder, resource)
unlist_lock(resource)
emit(broken and 'lock_broken' or 'lock_released',
  { resource = resource, agent = holder, task = lock.task, by = A.by })
call_next({ resource })
return { 'OK', holder }
