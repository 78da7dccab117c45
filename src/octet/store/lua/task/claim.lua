-- task/claim.lua: give an agent the first task of a stage that fits it, with a new fencing token.
-- First comes what was sent back to the agent itself, then the highest priority, then the oldest;
-- but now and then the one that was overtaken most (include/choose.lua).
-- KEYS pending LIST · task_seq STRING · incarnations HASH · token STRING · returned(agent) SET ·
--   waiters(fit) ZSET · orchestrator HASH
-- ARGV agent · incarnation · waiting: the state of a task that waits · working: its state when
--   claimed · max_claims: how many the agent may hold · wanted: the id asked for, or '' · stage ·
--   capabilities: a comma before and behind each · turn: '' | wait (leave it to those who wait
--   longer) | now (has waited, and those did not come) · process: the agent's, or '' · leader: the
--   agent where it claims as orchestrator, else ''
-- Returns {OK, id, HGETALL} · {HAS, id, HGETALL} of one it holds · {EMPTY, tasks that overlap
--   others in flight, ms until an offer to somebody else ends, tasks that are its own work} ·
--   {LATER} · {MISSING} · {STATE, state} · {NEEDS, capability} · {SCOPE, other task} {OWN} · {GONE}
--   · {LED, agent, epoch, ms}: another orchestrator leads · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: new_task
-- include: take_raw
-- include: globs
-- include: scopes
-- include: walk
-- include: author
-- include: claimable
-- include: must_lead
-- include: task_keys
-- include: choose
local agent, from, to, wanted, stage, turn = ARGV[2], ARGV[4], ARGV[5], ARGV[7], ARGV[8], ARGV[10]
local claims, returned, waiters = K.claims .. agent, KEYS[18], KEYS[19]
K.pending, K.seq = KEYS[14], KEYS[15]
local C = { K = K, agent = agent, from = from, stage = stage, works = from == 'pending', capabilities = ARGV[9], incarnations = KEYS[16],
  returned = returned, most = 512, overlapping = 0, process = ARGV[11], own = 0 }

if redis.call('HGET', KEYS[16], agent) ~= ARGV[3] then return { 'GONE' } end
spoiled = must_lead(KEYS[20], ARGV[12], ARGV[3]) or expect('ZCARD', K.states .. from, K.states .. to, waiters)
  or expect('SCARD', claims, returned) or expect_number(KEYS[17]) or expect_number(K.seq)
if spoiled then return spoiled end
local same = redis.call('SCARD', claims) > 0 and has(C, claims, wanted, tonumber(ARGV[6]))
if same then return { 'HAS', same, redis.call('HGETALL', K.tasks .. same) } end
if C.works then take_raw(K, 100) end
local id, refused
if wanted ~= '' then id, refused = named(C, wanted) else id = mine_again(C) or first(C) end
if refused then return refused end
if turn == 'wait' and not redis.call('ZSCORE', waiters, agent) then
  redis.call('ZADD', waiters, now_ms(), agent)
  redis.call('PEXPIRE', waiters, 86400000)
end
if not id then return { 'EMPTY', C.overlapping, C.offer_ms or 0, C.own } end
if turn == 'wait' and redis.call('ZREVRANGE', waiters, -1, -1)[1] ~= agent then return { 'LATER' } end
if turn == 'now' then redis.call('ZREM', waiters, redis.call('ZREVRANGE', waiters, -1, -1)[1] or agent) end
if turn ~= '' then redis.call('ZREM', waiters, agent) end
local key, now = K.tasks .. id, now_ms()
local f, token = redis.call('HMGET', key, 'attempts', 'title', 'paths', 'needs'), string.format('%.0f', redis.call('INCR', KEYS[17]))
unqueue(C.works and queue_of(K, stage, f[4] or '') or K.stages .. stage, id)
take_turn(K, stage)
move(K, id, from, to)
redis.call('SADD', claims, id)
if C.works and f[3] and f[3] ~= '[]' then redis.call('HSET', K.scopes, id, '+' .. f[3]) end
redis.call('SREM', returned, id)
redis.call('HSET', key, 'id', id, 'state', to, 'stage', stage, 'holder', agent, 'process', ARGV[11], 'token', token, 'claimed_ms', now,
  'updated_ms', now, 'attempts', number(f[1], 0) + (C.works and 1 or 0), 'passed_over', 0, 'offered_to', '')
emit(K.log, K.channels, 'task_claimed', { task = id, agent = agent, token = token, stage = stage, title = f[2] or '' })
return { 'OK', id, redis.call('HGETALL', key) }
