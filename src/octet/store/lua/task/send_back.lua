-- task/send_back.lua: a gate sends submitted work back to be built again, with what is to change.
-- For a while it is offered to its author alone, as long as that lives; its scope stays taken,
-- because the branch with the work still exists. A message tells the author in the same step.
-- KEYS task* HASH · returned* SET · inbox* STREAM
-- ARGV id · token · findings · offer_ms: how long it is on offer to its author · commit: the one
--   judged, '' for any · record: a JSON object, or ''
-- Returns {OK} · {MISSING} · {STALE, state, holder} · {STATE, state} · {MOVED, commit} · {SPOILED,
--   key}.
-- include: clock
-- include: expect
-- include: emit
-- include: post_message
-- include: task_queues
-- include: held_task
-- include: check_task_keys
-- include: end_claim
-- include: gate_record
local id, now, key = A.id, now_ms(), K.task .. A.id

local refused, held = held_task(key, A.token)
if refused then return refused end
local state, agent, author, gate = held.state, held.holder, held.author, held.stage
if state == 'claimed' then return { 'STATE', state } end
if A.commit ~= '' and A.commit ~= held.commit then return { 'MOVED', held.commit } end
spoiled = expect_claim(agent, state, state) or expect('SCARD', K.returned .. author)
  or expect('XLEN', K.inbox .. author) or expect_record(id, A.record)
if spoiled then return spoiled end
redis.call('HSET', key, 'state', 'pending', 'stage', held.work, 'holder', '',
  'findings', A.findings, 'updated_ms', now, 'offered_to', author,
  'offered_ms', now + tonumber(A.offer_ms))
add_record(id, held, A.record)
move(id, state, 'pending')
queue_work(id, held.work, held.needs, held.priority, held.order)
if author ~= '' then
  redis.call('SADD', K.returned .. author, id)
  redis.call('PEXPIRE', K.returned .. author, 86400000)
end
end_claim(id, agent)
emit('task_returned', { task = id, title = held.title, agent = agent, author = author, gate = gate,
  stage = held.work, commit = held.commit, findings = brief(A.findings) })
if author ~= '' and author ~= agent then
  -- What to do stands before the findings, so that only findings are cut off. An inbox that takes
  -- no more stops nothing.
  local told = 'Changes requested on task ' .. id .. ' (' .. brief(held.title, 200) .. ') at the '
    .. gate .. ' gate. Take it up again with `octet task claim ' .. id .. '`. Findings: '
    .. brief(A.findings, 1500)
  post(author, { from = agent, to = author, text = told, kind = 'finding', task = id })
end
return { 'OK' }
