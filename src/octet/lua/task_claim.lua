-- task_claim.lua: give an agent the first task of a queue, with a new fencing token.
-- KEYS[1] tasks:pending LIST · KEYS[2] tasks:priority ZSET · KEYS[3] the stage's queue ZSET · KEYS[4] tasks:status: prefix
-- KEYS[5] agents:claims:<agent> SET · KEYS[6] agents:incarnations HASH · KEYS[7] token STRING · KEYS[8] tasks:seq STRING
-- KEYS[9] tasks:state: prefix · KEYS[10] log STREAM
-- ARGV[1] agent · ARGV[2] incarnation · ARGV[3] waiting state · ARGV[4] working state · ARGV[5] most claims at once
-- ARGV[6] id wanted, or '' · ARGV[7] channel prefix · ARGV[8] stage
-- Returns {OK, HGETALL} · {HAS, HGETALL of one it holds} · {EMPTY} · {MISSING} · {STATE, state} · {GONE}.
-- include: clock
-- include: emit
-- include: enqueue
-- include: new_task
-- include: take_raw
local queue, tasks, claims, states, log = KEYS[3], KEYS[4], KEYS[5], KEYS[9], KEYS[10]
local agent, from, to, wanted, channels = ARGV[1], ARGV[3], ARGV[4], ARGV[6], ARGV[7]
local K = { pending = KEYS[1], priority = KEYS[2], tasks = tasks, seq = KEYS[8], log = log, channels = channels }

-- What stands in the queue and does not wait was put there by hand: a name without a record becomes a task of that
-- title and priority, anything else is forgotten.
local function waits(id)
  local state = redis.call('HGET', tasks .. id, 'state')
  if state == from then return true end
  local priority = redis.call('ZSCORE', queue, id)
  redis.call('ZREM', queue, id)
  if not state and from == 'pending' then add_raw(K, id, tonumber(priority), '', id) end
  return false
end

local function pick()
  if wanted ~= '' then return redis.call('ZSCORE', queue, wanted) and waits(wanted) and wanted or nil end
  while true do
    local first = redis.call('ZREVRANGE', queue, 0, 0)[1]
    if not first or waits(first) then return first end
  end
end

if redis.call('HGET', KEYS[6], agent) ~= ARGV[2] then return { 'GONE' } end
if redis.call('SCARD', claims) >= tonumber(ARGV[5]) then
  return { 'HAS', redis.call('HGETALL', tasks .. redis.call('SRANDMEMBER', claims)) }
end
if from == 'pending' then take_raw(K, 100) end
local id = pick()
if not id and wanted ~= '' then
  local state = redis.call('HGET', tasks .. wanted, 'state')
  return state and { 'STATE', state } or { 'MISSING' }
end
if not id then return { 'EMPTY' } end
local key, now = tasks .. id, now_ms()
local token = redis.call('INCR', KEYS[7])
redis.call('ZREM', queue, id)
redis.call('ZREM', states .. from, id)
redis.call('ZADD', states .. to, now, id)
redis.call('SADD', claims, id)
redis.call('HSET', key, 'state', to, 'stage', ARGV[8], 'holder', agent, 'token', token, 'claimed_ms', now, 'updated_ms', now)
if from == 'pending' then redis.call('HINCRBY', key, 'attempts', 1) end
local task = redis.call('HGETALL', key)
emit(log, channels, 'task_claimed', { task = id, agent = agent, token = token, stage = ARGV[8], title = redis.call('HGET', key, 'title') })
return { 'OK', task }
