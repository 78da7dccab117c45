-- task/progress.lua: record the progress of a claimed task.
-- KEYS task(id) HASH · log STREAM
-- ARGV id · token · percent: 0 to 100 · note
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: held_task
local refused, held = held_task(K.task, A.token)
if refused then return refused end
local spoiled = expect('XLEN', K.log)
if spoiled then return spoiled end
redis.call('HSET', K.task, 'progress', A.percent, 'note', A.note, 'updated_ms', now_ms())
emit('task_progress',
  { task = A.id, agent = held.holder, progress = tonumber(A.percent), note = A.note })
return { 'OK' }
