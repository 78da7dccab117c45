-- lock/acquire.lua: take every resource named, or none. Re-entrant: what the agent holds is renewed
-- and keeps its token. A parent's path lock passes to its sub-agent, any other is shared. A tool
-- call that is refused is remembered for lock/freed.lua. A waiter keeps its place by asking again.
-- KEYS incarnations HASH · claims(agent) SET · agent_locks* SET · lock* STRING · locks_index ZSET ·
--   token STRING · log STREAM
-- ARGV agent · incarnation · parent: or '' · ttl_ms · scope: turn | own (turn becomes task while
--   the agent has one; of two scopes asked for, the longer-lived holds) · waiter: '' for one that
--   does not wait · ticket: the waiter's, '' when it comes · resources…
-- Returns {OK, token, …} in the order asked · {HELD, resource in the way, value, PTTL in ms,
--   resource asked, others waiting, ticket} · {BEHIND, agent that is first, since when in ms,
--   resource asked, others waiting, ticket} · {DEADLOCK, resource, agent, …}: for whom it would
--   wait, and so on to itself · {GONE} · {SPOILED, key}. The ticket is '' for one that does not
--   wait.
-- include: clock
-- include: expect
-- include: emit
-- include: lock_paths
-- include: lock_queue
-- include: wait_cycle
-- include: take_locks
-- include: denied_locks
local waits, parent = A.waiter ~= '', A.parent ~= '' and A.parent or '-'
local me = { agent = A.agent, parent = parent, wants = A.resources, ticket = math.huge }
me.lenient = A.scope == 'turn' and not waits
asking = A.waiter

if redis.call('HGET', K.incarnations, me.agent) ~= A.incarnation then return { 'GONE' } end
local spoiled = expect('SCARD', K.claims, K.agent_locks .. me.agent,
    A.parent ~= '' and K.agent_locks .. parent or nil)
  or expect('ZCARD', K.locks_index) or expect_number(K.token) or expect('XLEN', K.log)
if spoiled then return spoiled end
wide_locks = redis.pcall('SMEMBERS', K.lock .. 'wide')
saved_waiters = redis.pcall('HGETALL', K.lock .. 'waiting')
if wide_locks.err then return { 'SPOILED', K.lock .. 'wide' } end
if saved_waiters.err then return { 'SPOILED', K.lock .. 'waiting' } end
if waits then
  redis.call('DEL', K.lock .. 'turn:' .. A.waiter) -- it comes, whatever it was called for
  me.id, me.ticket = A.waiter, tonumber(A.ticket) or redis.call('INCR', K.token)
  me.since, me.seen, me.called = now_ms(), now_ms(), 0
end
for _, waiter in ipairs(waits and waiters() or {}) do
  if waiter.id == me.id then me.since = waiter.since end
end

local function refuse(resource, reply)
  local count = 0
  for _, waiter in ipairs(waiters()) do
    if waiter.id ~= me.id and wants(waiter, { resource }) then count = count + 1 end
  end
  local cycle = waits and wait_cycle(me)
  if cycle then
    leave_queue(function(waiter) return waiter.id == me.id end)
    return { 'DEADLOCK', unpack(cycle) }
  end
  if waits then save_waiter(me) end
  if me.lenient then remember_denied(me.agent, resource) end
  local came = waits and A.ticket == ''
  if came then emit('lock_awaited', { resource = resource, agent = me.agent }) end
  local ticket, n = waits and string.format('%.0f', me.ticket) or '', #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = resource, count, ticket
  return reply
end

for _, resource in ipairs(me.wants) do
  local other, _, value = lock_in_the_way(me, resource)
  if other then
    list_lock(other) -- one that was set by hand is listed from now on
    return refuse(resource, { 'HELD', other, value, redis.call('PTTL', K.lock .. other) })
  end
end
for _, resource in ipairs(me.wants) do
  local first = waiter_ahead(me, resource)
  if first then
    return refuse(resource, { 'BEHIND', first.agent, string.format('%.0f', first.since) })
  end
end
if waits then redis.call('HDEL', K.lock .. 'waiting', me.id) end
forget_denied(me)
local task = redis.call('SRANDMEMBER', K.claims) or nil
return take_locks(me, task, A.scope, tonumber(A.ttl_ms))
