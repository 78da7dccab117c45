-- task_add.lua: store a task and queue it.
-- KEYS[1] tasks:seq STRING · KEYS[2] tasks:status: prefix · KEYS[3] tasks:priority ZSET · KEYS[4] log STREAM
-- ARGV[1] id, or '' for the next number · ARGV[2] priority · ARGV[3] channel prefix · ARGV[4] title · ARGV[5..] field, value, …
-- Returns {OK, id} · {EXISTS, id} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: new_task
local seq, tasks, queue, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, priority, channels, title = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local spoiled = expect_number(seq) or expect('ZCARD', queue) or expect('XLEN', log)
if spoiled then return spoiled end
if id ~= '' and redis.call('EXISTS', tasks .. id) == 1 then return { 'EXISTS', id } end
local order
if id == '' then id, order = next_id(seq, tasks) else order = redis.call('INCR', seq) end
local fields = { 'title', title, 'priority', priority }
for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
new_task(tasks .. id, id, order, fields)
enqueue(queue, id, priority, order)
emit(log, channels, 'task_added', { task = id, title = title, priority = priority })
return { 'OK', id }
