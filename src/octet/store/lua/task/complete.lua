-- task/complete.lua: the task is done, and what waited for it may begin. A task that has a branch
-- is done only from the merge stage.
-- KEYS task* HASH · state* ZSET · scopes HASH · before* SET
-- ARGV id · token · result · merge_commit: or '' · record: a JSON object, or ''
-- Returns {OK} (also when this very token completed it before) · {MISSING} · {STALE, state, holder}
--   · {STATE, state} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: task_queues
-- include: held_task
-- include: check_task_keys
-- include: end_claim
-- include: unblock
-- include: gate_record
local id, now = A.id, now_ms()
local key = K.task .. id

local refused, held = held_task(key, A.token)
if held and held.state == 'done' and held.token == A.token then return { 'OK' } end
if refused then return refused end
local state, agent = held.state, held.holder
if state == 'claimed' and held.branch ~= '' then return { 'STATE', 'claimed with a branch' } end
if state ~= 'claimed' and state ~= 'merging' then return { 'STATE', state } end
spoiled = expect_claim(agent, state, 'done') or expect('SCARD', K.before .. id)
  or expect('ZCARD', K.state .. 'blocked') or expect_record(id, A.record)
if spoiled then return spoiled end
redis.call('HSET', key, 'state', 'done', 'holder', '', 'result', A.result,
  'merge_commit', A.merge_commit, 'done_by', agent, 'progress', 100, 'done_ms', now,
  'updated_ms', now)
add_record(id, held, A.record)
move(id, state, 'done')
redis.call('HDEL', K.scopes, id)
end_claim(id, agent)
emit('task_completed', { task = id, title = held.title, agent = agent, result = brief(A.result),
  commit = A.merge_commit })
unblock(id)
return { 'OK' }
