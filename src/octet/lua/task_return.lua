-- task_return.lua: a gate sends submitted work back to be built again, with what is to change. For a while it is offered to its
-- author alone, as long as that lives; its scope stays taken, because the branch with the work is still there.
-- KEYS[1..13] as in include/task_keys.lua · KEYS[14] agents:returned: prefix
-- ARGV[2] id · ARGV[3] token · ARGV[4] findings · ARGV[5] how long it is on offer to its author, ms
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: held_task
-- include: read_lock
-- include: free_locks
-- include: task_keys
-- include: end_claim
local id, now, offer_ms = ARGV[2], now_ms(), tonumber(ARGV[5])
local task = K.tasks .. id

local refused, held = held_task(task, ARGV[3])
if refused then return refused end
if held.state == 'claimed' then return { 'STATE', held.state } end
local returned = KEYS[14] .. held.author
spoiled = expect_claim(K, held.holder, held.state, held.state) or expect('SCARD', returned)
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'pending', 'stage', held.work, 'holder', '', 'findings', ARGV[4], 'updated_ms', now,
  'offered_to', held.author, 'offered_ms', now + offer_ms)
move(K, id, held.state, 'pending')
to_work(K, id, held.work, held.needs, held.priority, held.order)
if held.author ~= '' then
  redis.call('SADD', returned, id)
  redis.call('PEXPIRE', returned, 86400000)
end
end_claim(K, id, held.holder)
emit(K.log, K.channels, 'task_returned',
  { task = id, title = held.title, agent = held.holder, author = held.author, findings = brief(ARGV[4]) })
return { 'OK' }
