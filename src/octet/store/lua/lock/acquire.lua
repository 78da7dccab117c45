-- lock/acquire.lua: take every resource named, or none. Re-entrant: what the agent holds is renewed
-- and keeps its token. A sub-agent may pass where its parent stands: a parent's path lock passes to
-- it, any other lock of the parent is shared. A tool call that is refused is remembered under
-- locks:denied:<agent>, for lock/freed.lua to tell the agent of it when it is idle. Who is to wait
-- gets a place in the queue, and keeps it by asking again as the same waiter; nobody passes a place
-- (include/standoff.lua).
-- KEYS incarnations HASH · claims(agent) SET · agent_locks* SET · lock* STRING · locks_index ZSET ·
--   token STRING · log STREAM · channel* PUBSUB
-- ARGV agent · incarnation · parent: or '' · ttl_ms · scope: turn | own (turn becomes task while
--   the agent has one; of two scopes asked for, the longer-lived holds) · waiter: '' for one that
--   does not wait · ticket: the waiter's, '' when it comes · resources…
-- Returns {OK, token, …} in the order asked · {HELD, resource in the way, value, PTTL in ms,
--   resource asked, others waiting, ticket} {BEHIND, agent that is first, since when in ms,
--   resource asked, others waiting, ticket} · {DEADLOCK, resource, agent, …}: for whom it would
--   wait, and so on to itself · {GONE} · {SPOILED, key}. The ticket is '' for one that does not
--   wait.
-- include: clock
-- include: expect
-- include: emit
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: standoff
-- include: take_lock
-- include: denied
local K = { all_locks = KEYS[3], locks = KEYS[4], index = KEYS[5], token = KEYS[6], log = KEYS[7], channels = ARGV[1], waiter = ARGV[7] }
local waits, me = ARGV[7] ~= '', { agent = ARGV[2], parent = ARGV[4] ~= '' and ARGV[4] or '-', wants = {}, ticket = math.huge }
for i = 9, #ARGV do me.wants[#me.wants + 1] = ARGV[i] end
me.lenient = ARGV[6] == 'turn' and not waits

if redis.call('HGET', KEYS[1], me.agent) ~= ARGV[3] then return { 'GONE' } end
local spoiled = expect('SCARD', KEYS[2], K.all_locks .. me.agent, ARGV[4] ~= '' and K.all_locks .. ARGV[4] or nil)
  or expect('ZCARD', K.index) or expect_number(K.token) or expect('XLEN', K.log)
if spoiled then return spoiled end
K.wide, K.places = redis.pcall('SMEMBERS', K.locks .. 'wide'), redis.pcall('HGETALL', K.locks .. 'waiting')
if K.wide.err or K.places.err then return { 'SPOILED', K.locks .. (K.wide.err and 'wide' or 'waiting') } end
if waits then
  redis.call('DEL', K.locks .. 'turn:' .. K.waiter) -- it comes, whatever it was called for
  local ticket = tonumber(ARGV[8]) or redis.call('INCR', K.token)
  me.id, me.ticket, me.since, me.seen, me.called = K.waiter, ticket, now_ms(), now_ms(), 0
end
for _, waiter in ipairs(waits and waiters(K) or {}) do
  if waiter.id == me.id then me.since = waiter.since end
end

local function refuse(resource, reply)
  local count = 0
  for _, waiter in ipairs(waiters(K)) do count = count + (waiter.id ~= me.id and wants(waiter, { resource }) and 1 or 0) end
  local circle = waits and standoff(K, me)
  if circle then
    leave_queue(K, function(waiter) return waiter.id == me.id end)
    return { 'DEADLOCK', unpack(circle) }
  end
  if waits then keep(K, me) end
  if me.lenient then remember_denied(K, me.agent, resource) end
  if waits and ARGV[8] == '' then emit(K.log, K.channels, 'lock_awaited', { resource = resource, agent = me.agent }) end
  for _, fact in ipairs({ resource, count, waits and string.format('%.0f', me.ticket) or '' }) do reply[#reply + 1] = fact end
  return reply
end

for _, resource in ipairs(me.wants) do
  local other, _, value = held(K, me, resource)
  if other then
    enlist(K, other) -- one that was set by hand is listed from now on
    return refuse(resource, { 'HELD', other, value, redis.call('PTTL', K.locks .. other) })
  end
end
for _, resource in ipairs(me.wants) do
  local first = ahead(K, me, resource)
  if first then return refuse(resource, { 'BEHIND', first.agent, string.format('%.0f', first.since) }) end
end
if waits then redis.call('HDEL', K.locks .. 'waiting', me.id) end
forget_denied(K, me)
return take_locks(K, me, redis.call('SRANDMEMBER', KEYS[2]) or nil, ARGV[6], tonumber(ARGV[5]))
