-- task/renew.lua: submitted work has a new commit: what was found about the one before no longer
-- counts, and the task goes to its first gate again. Its author may renew it until it is being
-- merged; the agent that holds it at a gate, always. Any claim on it ends.
-- KEYS task* HASH · stage* ZSET · incarnations HASH
-- ARGV id · agent · incarnation · process: the agent's, or '' · token: of a gate's claim, '' for
--   the author · branch · commit · note: '' leaves the one before · gates: spaces between, '' for
--   the task's own
-- Returns {OK, gate, former holder} (that commit already: where it is, and nothing is changed) ·
--   {MISSING} · {GONE} · {STALE, state, holder} · {STATE, state} · {AUTHOR, who it is} · {SPOILED,
--   key}.
-- include: clock
-- include: emit
-- include: task_queues
-- include: held_task
-- include: check_task_keys
-- include: end_claim
-- include: authorship
local id, agent, token, branch, commit, now = A.id, A.agent, A.token, A.branch, A.commit, now_ms()
local key, gate_states = K.task .. id, { submitted = true, ['in-review'] = true, testing = true }

if redis.call('HGET', K.incarnations, agent) ~= A.incarnation then return { 'GONE' } end
local refused, held = held_task(key, token)
if not held or token ~= '' and refused then return refused end
local state, former = held.state, held.holder
local open = gate_states[state] or token ~= '' and state == 'merging'
if not open then return { 'STATE', state } end
if token == '' and not is_author(held, agent, A.process) then return { 'AUTHOR', held.author } end
if held.branch == branch and held.commit == commit then return { 'OK', held.stage, '' } end
spoiled = expect_claim(former, state, 'submitted')
if spoiled then return spoiled end
local gates, gate = first_gate(held, A.gates)
if state == 'submitted' then unqueue(K.stage .. held.stage, id) end
redis.call('HSET', key, 'state', 'submitted', 'stage', gate, 'gates', gates, 'holder', '',
  'branch', branch, 'commit', commit, 'gate_attempts', 0, 'submitted_ms', now, 'updated_ms', now)
if A.note ~= '' then redis.call('HSET', key, 'note', A.note) end
move(id, state, 'submitted')
queue_at_gate(id, gate, held.priority, held.order)
if former ~= '' then end_claim(id, former) end
emit('task_renewed', { task = id, title = held.title, agent = agent, holder = former,
  branch = branch, commit = commit, stage = gate })
return { 'OK', gate, former }
