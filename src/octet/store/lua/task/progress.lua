-- task/progress.lua: record how far a claimed task is.
-- KEYS task(id) HASH · log STREAM · channel* PUBSUB
-- ARGV id · token · percent: 0 to 100 · note
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: held_task
local refused, held = held_task(KEYS[1], ARGV[3])
if refused then return refused end
local spoiled = expect('XLEN', KEYS[2])
if spoiled then return spoiled end
redis.call('HSET', KEYS[1], 'progress', ARGV[4], 'note', ARGV[5], 'updated_ms', now_ms())
emit(KEYS[2], ARGV[1], 'task_progress', { task = ARGV[2], agent = held.holder, progress = tonumber(ARGV[4]), note = ARGV[5] })
return { 'OK' }
