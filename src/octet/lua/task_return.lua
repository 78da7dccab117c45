-- task_return.lua: a later stage sends submitted work back to be built again, with what is to change.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] tasks:priority ZSET · KEYS[3] tasks:state: prefix · KEYS[4] agents:claims: prefix · KEYS[5] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] findings · ARGV[4] channel prefix
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state}.
-- include: clock
-- include: emit
-- include: enqueue
-- include: held_task
local task, states, id = KEYS[1], KEYS[3], ARGV[1]

local refused = held_task(task, ARGV[2])
if refused then return refused end
local held = redis.call('HMGET', task, 'state', 'holder', 'priority', 'order', 'title', 'author')
if held[1] ~= 'merging' then return { 'STATE', held[1] } end
redis.call('HSET', task, 'state', 'pending', 'stage', 'build', 'holder', '', 'findings', ARGV[3], 'updated_ms', now_ms())
redis.call('ZREM', states .. held[1], id)
redis.call('SREM', KEYS[4] .. held[2], id)
enqueue(KEYS[2], id, tonumber(held[3]), tonumber(held[4]))
emit(KEYS[5], ARGV[4], 'task_returned', { task = id, title = held[5], agent = held[2], author = held[6], findings = ARGV[3] })
return { 'OK' }
