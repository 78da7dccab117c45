-- lock_release.lua: free one lock, shown its token; or any lock, by a person's word.
-- KEYS[1] locks:<resource> STRING · KEYS[2] agents:locks: prefix · KEYS[3] locks:index SET · KEYS[4] log STREAM
-- ARGV[1] channel prefix · ARGV[2] resource · ARGV[3] token · ARGV[4] who breaks it, or '' where the token is shown
-- Returns {OK, holder} · {MISSING} · {STALE, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: read_lock
local broken = ARGV[4] ~= ''
local lock = read_lock(KEYS[1])
if not lock then return { 'MISSING' } end
if not broken and lock.token ~= ARGV[3] then return { 'STALE', lock.holder } end
local spoiled = expect('SCARD', KEYS[2] .. lock.holder, KEYS[3]) or expect('XLEN', KEYS[4])
if spoiled then return spoiled end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2] .. lock.holder, ARGV[2])
redis.call('SREM', KEYS[3], ARGV[2])
emit(KEYS[4], ARGV[1], broken and 'lock_broken' or 'lock_released',
  { resource = ARGV[2], agent = lock.holder, task = lock.task, by = ARGV[4] })
return { 'OK', lock.holder }
