-- task/rescued.lua: note on a task where the unfinished work of an ended claim was put, whatever
-- has become of the task since.
-- KEYS task(id) HASH · log STREAM
-- ARGV id · ref: the git ref · size: of the work, a line for people · agent: the one that did it
-- Returns {OK, state, holder} · {MISSING} · {SPOILED, key}.
-- include: expect
-- include: emit
local spoiled = expect('HLEN', K.task) or expect('XLEN', K.log)
if spoiled then return spoiled end
if redis.call('EXISTS', K.task) == 0 then return { 'MISSING' } end
redis.call('HSET', K.task, 'rescue_ref', A.ref, 'rescue_size', A.size)
local now = redis.call('HMGET', K.task, 'state', 'holder')
emit('task_rescued', { task = A.id, agent = A.agent, ref = A.ref, size = A.size })
return { 'OK', now[1] or '', now[2] or '' }
