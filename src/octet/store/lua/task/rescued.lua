-- task/rescued.lua: note on a task where the unfinished work of an ended claim was put, whatever
-- has become of the task since.
-- KEYS task(id) HASH · log STREAM · channel* PUBSUB
-- ARGV id · ref: the git ref · size: of the work, a line for people · agent: the one that did it
-- Returns {OK, state, holder} · {MISSING} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local spoiled = expect('HLEN', KEYS[1]) or expect('XLEN', KEYS[2])
if spoiled then return spoiled end
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'MISSING' } end
redis.call('HSET', KEYS[1], 'rescue_ref', ARGV[3], 'rescue_size', ARGV[4])
local now = redis.call('HMGET', KEYS[1], 'state', 'holder')
emit(KEYS[2], ARGV[1], 'task_rescued', { task = ARGV[2], agent = ARGV[5], ref = ARGV[3], size = ARGV[4] })
return { 'OK', now[1] or '', now[2] or '' }
