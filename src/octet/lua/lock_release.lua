-- lock_release.lua: free one lock, shown its token; or any lock, by a person's word, when the token is '*'.
-- KEYS[1] locks:<resource> STRING · KEYS[2] agents:locks: prefix · KEYS[3] locks:index SET · KEYS[4] log STREAM
-- ARGV[1] channel prefix · ARGV[2] resource · ARGV[3] token · ARGV[4] who breaks it, or ''
-- Returns {OK, holder} · {MISSING} · {STALE, holder}.
-- include: clock
-- include: emit
local value = redis.call('GET', KEYS[1])
if not value then return { 'MISSING' } end
local known, lock = pcall(cjson.decode, value)
if not known or type(lock) ~= 'table' then lock = { holder = value } end
if ARGV[3] ~= '*' and lock.token ~= ARGV[3] then return { 'STALE', lock.holder } end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2] .. lock.holder, ARGV[2])
redis.call('SREM', KEYS[3], ARGV[2])
emit(KEYS[4], ARGV[1], ARGV[3] == '*' and 'lock_broken' or 'lock_released',
  { resource = ARGV[2], agent = lock.holder, task = lock.task, by = ARGV[4] })
return { 'OK', lock.holder }
