-- task/progress.lua: record how far a claimed task is.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] log STREAM
-- ARGV[1] id · ARGV[2] token · ARGV[3] percent 0..100 · ARGV[4] note · ARGV[5] channel prefix
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: held_task
local refused, held = held_task(KEYS[1], ARGV[2])
if refused then return refused end
local spoiled = expect('XLEN', KEYS[2])
if spoiled then return spoiled end
redis.call('HSET', KEYS[1], 'progress', ARGV[3], 'note', ARGV[4], 'updated_ms', now_ms())
emit(KEYS[2], ARGV[5], 'task_progress', { task = ARGV[1], agent = held.holder, progress = tonumber(ARGV[3]), note = ARGV[4] })
return { 'OK' }
