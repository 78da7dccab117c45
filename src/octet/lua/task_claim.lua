-- task_claim.lua: give an agent the first task of a queue, with a new fencing token.
-- KEYS[1] tasks:pending LIST · KEYS[2] tasks:priority ZSET · KEYS[3] the stage's queue ZSET · KEYS[4] tasks:status: prefix
-- KEYS[5] agents:claims:<agent> SET · KEYS[6] agents:incarnations HASH · KEYS[7] token STRING · KEYS[8] tasks:seq STRING
-- KEYS[9] tasks:state: prefix · KEYS[10] log STREAM
-- ARGV[1] agent · ARGV[2] incarnation · ARGV[3] waiting state · ARGV[4] working state · ARGV[5] most claims at once
-- ARGV[6] id wanted, or '' · ARGV[7] channel prefix · ARGV[8] stage
-- Returns {OK, id, HGETALL} · {HAS, id, HGETALL} of one it holds · {EMPTY} · {MISSING} · {STATE, state} · {GONE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: new_task
-- include: take_raw
local queue, tasks, claims, states, log = KEYS[3], KEYS[4], KEYS[5], KEYS[9], KEYS[10]
local agent, from, to, wanted, channels = ARGV[1], ARGV[3], ARGV[4], ARGV[6], ARGV[7]
local K = { pending = KEYS[1], priority = KEYS[2], tasks = tasks, seq = KEYS[8], log = log, channels = channels }

-- The task to give again: the one wanted, or any when the agent holds as many as it may. A claim that is none any more is forgotten.
local function has()
  local held = {}
  for _, id in ipairs(redis.call('SMEMBERS', claims)) do
    local task = redis.pcall('HMGET', tasks .. id, 'holder', 'state')
    if task[1] == agent and (task[2] == 'claimed' or task[2] == 'merging') then
      if id == wanted then return id end
      held[#held + 1] = id
    else
      redis.call('SREM', claims, id)
    end
  end
  return #held >= tonumber(ARGV[5]) and held[1]
end

-- What stands in the queue and does not wait was put there by hand: a name without a record becomes a task of that
-- title and priority, anything else is forgotten. Returns the id of what waits.
local function waiting(id)
  local state = redis.pcall('HGET', tasks .. id, 'state')
  if state == from then return id end
  local priority = redis.call('ZSCORE', queue, id)
  redis.call('ZREM', queue, id)
  if state or from ~= 'pending' then return nil end
  return add_raw(K, id, priority, '', id)
end

local function pick()
  if wanted ~= '' then return redis.call('ZSCORE', queue, wanted) and waiting(wanted) end
  local id
  repeat
    local first = redis.call('ZREVRANGE', queue, 0, 0)[1]
    id = first and waiting(first)
  until id or not first
  return id
end

if redis.call('HGET', KEYS[6], agent) ~= ARGV[2] then return { 'GONE' } end
local spoiled = expect('ZCARD', queue, states .. from, states .. to) or expect('XLEN', log)
  or expect_number(KEYS[7]) or expect_number(K.seq)
if spoiled then return spoiled end
local same = redis.call('SCARD', claims) > 0 and has()
if same then return { 'HAS', same, redis.call('HGETALL', tasks .. same) } end
if from == 'pending' then take_raw(K, 100) end
local id = pick()
if not id and wanted ~= '' then
  local state = redis.pcall('HGET', tasks .. wanted, 'state')
  return type(state) == 'string' and { 'STATE', state } or { 'MISSING' }
end
if not id then return { 'EMPTY' } end
local key, now = tasks .. id, now_ms()
local before, token = redis.call('HMGET', key, 'attempts', 'title'), string.format('%.0f', redis.call('INCR', KEYS[7]))
redis.call('ZREM', queue, id)
if from ~= 'pending' then redis.call('ZREM', states .. from, id) end
redis.call('ZADD', states .. to, now, id)
redis.call('SADD', claims, id)
redis.call('HSET', key, 'id', id, 'state', to, 'stage', ARGV[8], 'holder', agent, 'token', token, 'claimed_ms', now, 'updated_ms', now,
  'attempts', number(before[1], 0) + (from == 'pending' and 1 or 0))
emit(log, channels, 'task_claimed', { task = id, agent = agent, token = token, stage = ARGV[8], title = before[2] or '' })
return { 'OK', id, redis.call('HGETALL', key) }
