-- task/claim.lua: give an agent the first task of a stage that fits it, with a new fencing token.
-- First comes what was sent back to the agent itself, then the highest priority, then the oldest;
-- but now and then the one that was overtaken most (include/pick_task.lua).
-- KEYS task* HASH · stage* ZSET · state* ZSET · scopes HASH · claims* SET · task_seq STRING ·
--   incarnations HASH · token STRING · returned(agent) SET · waiters(fit) ZSET
-- ARGV agent · incarnation · waiting: the state of a task that waits · working: its state when
--   claimed · max_claims: how many the agent may hold · wanted: the id asked for, or '' · stage ·
--   capabilities: a comma before and behind each · turn: '' | wait (leave it to those who wait
--   longer) | now (has waited, and those did not come) · process: the agent's, or '' · leader: the
--   agent where it claims as orchestrator, else ''
-- Returns {OK, id, HGETALL} · {HAS, id, HGETALL} of one it holds · {EMPTY, tasks that overlap
--   others in flight, ms until an offer to another agent ends, tasks that are its own work} ·
--   {LATER} · {MISSING} · {STATE, state} · {NEEDS, capability} · {SCOPE, other task} · {OWN} ·
--   {GONE} · {LED, agent, epoch, ms}: another orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: task_queues
-- include: raw_tasks
-- include: must_lead
-- include: check_task_keys
-- include: pick_task
local agent, stage, turn, claims = A.agent, A.stage, A.turn, K.claims .. A.agent

local function first_waiter() return redis.call('ZREVRANGE', K.waiters, -1, -1)[1] or agent end

if redis.call('HGET', K.incarnations, agent) ~= A.incarnation then return { 'GONE' } end
spoiled = must_lead(A.leader, A.incarnation)
  or expect('ZCARD', K.state .. A.waiting, K.state .. A.working, K.waiters)
  or expect('SCARD', claims, K.returned) or expect_number(K.token) or expect_number(K.task_seq)
if spoiled then return spoiled end
local same = redis.call('SCARD', claims) > 0 and held_before(tonumber(A.max_claims))
if same then return { 'HAS', same, redis.call('HGETALL', K.task .. same) } end
if IS_WORK then take_raw(100) end
local id, refused
if A.wanted ~= '' then id, refused = named_task() else id = next_task() end
if refused then return refused end
if turn == 'wait' and not redis.call('ZSCORE', K.waiters, agent) then
  redis.call('ZADD', K.waiters, now_ms(), agent)
  redis.call('PEXPIRE', K.waiters, 86400000)
end
if not id then return { 'EMPTY', passed.overlapping, passed.offer_ms or 0, passed.own } end
if turn == 'wait' and first_waiter() ~= agent then return { 'LATER' } end
if turn == 'now' then redis.call('ZREM', K.waiters, first_waiter()) end
if turn ~= '' then redis.call('ZREM', K.waiters, agent) end
local key, now = K.task .. id, now_ms()
local f = redis.call('HMGET', key, 'attempts', 'title', 'paths', 'needs')
local token = string.format('%.0f', redis.call('INCR', K.token))
unqueue(IS_WORK and queue_of(stage, f[4] or '') or K.stage .. stage, id)
count_claim(stage)
move(id, A.waiting, A.working)
redis.call('SADD', claims, id)
if IS_WORK and f[3] and f[3] ~= '[]' then redis.call('HSET', K.scopes, id, '+' .. f[3]) end
redis.call('SREM', K.returned, id)
redis.call('HSET', key, 'id', id, 'state', A.working, 'stage', stage, 'holder', agent,
  'process', A.process, 'token', token, 'claimed_ms', now, 'updated_ms', now,
  'attempts', number(f[1], 0) + (IS_WORK and 1 or 0), 'passed_over', 0, 'offered_to', '')
emit('task_claimed',
  { task = id, agent = agent, token = token, stage = stage, title = f[2] or '' })
return { 'OK', id, redis.call('HGETALL', key) }
