-- task/send_back.lua: a gate sends submitted work back to be built again, with what is to change. For
-- a while it is offered to its author alone, as long as that lives; its scope stays taken, because
-- the branch with the work is still there. The author is told in the same step, in its inbox.
-- KEYS returned* SET · reviews* HASH · inbox* STREAM
-- ARGV id · token · findings · offer_ms: how long it is on offer to its author · commit: the one
--   judged, '' for any · record: a JSON object, or ''
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state} · {MOVED, commit} · {SPOILED,
--   key}.
-- include: clock
-- include: expect
-- include: emit
-- include: post
-- include: enqueue
-- include: queues
-- include: facts
-- include: held_task
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: free_locks
-- include: task_keys
-- include: end_claim
-- include: record
local id, now, offer_ms = ARGV[2], now_ms(), tonumber(ARGV[5])
local task = K.tasks .. id

local refused, held = held_task(task, ARGV[3])
if refused then return refused end
if held.state == 'claimed' then return { 'STATE', held.state } end
if ARGV[6] ~= '' and ARGV[6] ~= held.commit then return { 'MOVED', held.commit } end
local returned, inbox = KEYS[14] .. held.author, KEYS[16] .. held.author
spoiled = expect_claim(K, held.holder, held.state, held.state) or expect('SCARD', returned) or expect('XLEN', inbox)
  or expect_record(KEYS[15], id, ARGV[7])
if spoiled then return spoiled end
redis.call('HSET', task, 'state', 'pending', 'stage', held.work, 'holder', '', 'findings', ARGV[4], 'updated_ms', now,
  'offered_to', held.author, 'offered_ms', now + offer_ms)
add_record(K, KEYS[15], id, held, ARGV[7])
move(K, id, held.state, 'pending')
to_work(K, id, held.work, held.needs, held.priority, held.order)
if held.author ~= '' then
  redis.call('SADD', returned, id)
  redis.call('PEXPIRE', returned, 86400000)
end
end_claim(K, id, held.holder)
emit(K.log, K.channels, 'task_returned',
  { task = id, title = held.title, agent = held.holder, author = held.author, gate = held.stage, stage = held.work,
    commit = held.commit, findings = brief(ARGV[4]) })
if held.author ~= '' and held.author ~= held.holder then
  -- What to do stands before the findings: an end that is cut off is theirs. An inbox that takes no
  -- more stops nothing.
  local told = 'Changes requested on task ' .. id .. ' (' .. brief(held.title, 200) .. ') at the ' .. held.stage
    .. ' gate. Take it up again with `octet task claim ' .. id .. '`. Findings: ' .. brief(ARGV[4], 1500)
  local message = { from = held.holder, to = held.author, text = told, kind = 'finding', task = id }
  post({ inboxes = KEYS[16], log = K.log, channels = K.channels }, held.author, message)
end
return { 'OK' }
