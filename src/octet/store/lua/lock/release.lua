-- lock/release.lua: free one lock, shown its token; or any lock, by a person's word. Who waits for
-- it is called.
-- KEYS lock* STRING · agent_locks* SET · locks_index ZSET · log STREAM · channel* PUBSUB
-- ARGV resource · token · by: the person that breaks it, or '' where the token is shown
-- Returns {OK, holder} · {MISSING} · {STALE, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
local K, resource, broken = { locks = KEYS[1], index = KEYS[3] }, ARGV[2], ARGV[4] ~= ''
local lock = read_lock(K.locks .. resource)
if not lock then return { 'MISSING' } end
if not broken and lock.token ~= ARGV[3] then return { 'STALE', lock.holder } end
local spoiled = expect('SCARD', KEYS[2] .. lock.holder) or expect('ZCARD', K.index) or expect('XLEN', KEYS[4])
if spoiled then return spoiled end
redis.call('DEL', K.locks .. resource)
redis.call('SREM', KEYS[2] .. lock.holder, resource)
strike(K, resource)
emit(KEYS[4], ARGV[1], broken and 'lock_broken' or 'lock_released',
  { resource = resource, agent = lock.holder, task = lock.task, by = ARGV[4] })
call_next(K, { resource })
return { 'OK', lock.holder }
