-- task/renew.lua: submitted work has a new commit: what was found out about the one before counts
-- no more, and the task goes to its first gate again. Its author may do that until it is being
-- merged; who holds it at a gate, always. Whoever held it holds it no longer.
-- KEYS incarnations HASH
-- ARGV id · agent · incarnation · process: the agent's, or '' · token: of a gate's claim, '' for
--   the author · branch · commit · note: '' leaves the one before · gates: spaces between, '' for
--   the task's own
-- Returns {OK, gate, who held it} (that commit already: where it is, and nothing is changed) ·
--   {MISSING} · {GONE} {STALE, state, holder} · {STATE, state} · {AUTHOR, who it is} · {SPOILED,
--   key}.
-- include: clock
-- include: expect
-- include: emit
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
-- include: first_gate
-- include: author
local id, agent, token, branch, commit, now = ARGV[2], ARGV[3], ARGV[6], ARGV[7], ARGV[8], now_ms()
local task = K.tasks .. id

if redis.call('HGET', KEYS[14], agent) ~= ARGV[4] then return { 'GONE' } end
local refused, held = held_task(task, token)
if not held or token ~= '' and refused then return refused end
local open = held.state == 'submitted' or held.state == 'in-review' or held.state == 'testing' or token ~= '' and held.state == 'merging'
if not open then return { 'STATE', held.state } end
if token == '' and not is_author(held, agent, ARGV[5]) then return { 'AUTHOR', held.author } end
if held.branch == branch and held.commit == commit then return { 'OK', held.stage, '' } end
spoiled = expect_claim(K, held.holder, held.state, 'submitted')
if spoiled then return spoiled end
local gates, gate = first_gate(held, ARGV[10])
if held.state == 'submitted' then unqueue(K.stages .. held.stage, id) end
redis.call('HSET', task, 'state', 'submitted', 'stage', gate, 'gates', gates, 'holder', '', 'branch', branch, 'commit', commit,
  'gate_attempts', 0, 'submitted_ms', now, 'updated_ms', now)
if ARGV[9] ~= '' then redis.call('HSET', task, 'note', ARGV[9]) end
move(K, id, held.state, 'submitted')
to_gate(K, id, gate, held.priority, held.order)
if held.holder ~= '' then end_claim(K, id, held.holder) end
emit(K.log, K.channels, 'task_renewed',
  { task = id, title = held.title, agent = agent, holder = held.holder, branch = branch, commit = commit, stage = gate })
return { 'OK', gate, held.holder }
