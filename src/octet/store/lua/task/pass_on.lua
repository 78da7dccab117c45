-- task/pass_on.lua: a gate (review, security, test) lets submitted work through to the next one.
-- KEYS task* HASH
-- ARGV id · token · note: '' leaves the author's · commit: the one judged, '' for any · record: a
--   JSON object, or ''
-- Returns {OK, next stage} · {MISSING} · {STALE, state, holder} · {STATE, state} · {MOVED, commit}
--   · {OWN} · {SPOILED, key}.
-- include: clock
-- include: emit
-- include: task_queues
-- include: held_task
-- include: check_task_keys
-- include: end_claim
-- include: authorship
-- include: gate_record
local id, key = A.id, K.task .. A.id

local refused, held = held_task(key, A.token)
if refused then return refused end
local gate, agent = next_gate(held), held.holder
if held.state == 'claimed' or not gate then return { 'STATE', held.state } end
if A.commit ~= '' and A.commit ~= held.commit then return { 'MOVED', held.commit } end
if JUDGING[held.stage] and is_author(held, agent, held.process) then return { 'OWN' } end
spoiled = expect_claim(agent, held.state, 'submitted') or expect_record(id, A.record)
if spoiled then return spoiled end
redis.call('HSET', key, 'state', 'submitted', 'stage', gate, 'holder', '', 'gate_attempts', 0,
  'updated_ms', now_ms())
if A.note ~= '' then redis.call('HSET', key, 'note', A.note) end
add_record(id, held, A.record)
move(id, held.state, 'submitted')
queue_at_gate(id, gate, held.priority, held.order)
end_claim(id, agent)
emit('task_passed', { task = id, title = held.title, agent = agent, gate = held.stage,
  stage = gate, commit = held.commit })
return { 'OK', gate }
