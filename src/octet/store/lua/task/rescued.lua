-- task/rescued.lua: note on a task where the unfinished work of an ended claim was put, whatever
-- has become of the task since.
-- KEYS[1] tasks:status:<id> HASH · KEYS[2] log STREAM
-- ARGV[1] id · ARGV[2] git ref · ARGV[3] size of the work, a line for people · ARGV[4] agent that
--   did it · ARGV[5] channel prefix
-- Returns {OK, state, holder} · {MISSING} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local spoiled = expect('HLEN', KEYS[1]) or expect('XLEN', KEYS[2])
if spoiled then return spoiled end
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'MISSING' } end
redis.call('HSET', KEYS[1], 'rescue_ref', ARGV[2], 'rescue_size', ARGV[3])
local now = redis.call('HMGET', KEYS[1], 'state', 'holder')
emit(KEYS[2], ARGV[5], 'task_rescued', { task = ARGV[1], agent = ARGV[4], ref = ARGV[2], size = ARGV[3] })
return { 'OK', now[1] or '', now[2] or '' }
