-- take_locks(me, task, scope, ttl_ms): the agent's locks on all that it wants, with nothing in the
-- way; returns {OK, token, …}. `task`: the one it holds, nil for none.
-- KEYS agent_locks* SET · lock* STRING · token STRING
-- include: clock
-- include: expect
-- include: emit
-- include: read_lock
-- include: lock_paths
local STRENGTH = { turn = 1, task = 2, own = 3 }

local function renew(me, resource, lock, terms)
  local key = K.lock .. resource
  local left_ms = redis.call('PTTL', key)
  if lock.holder == me.agent and STRENGTH[terms.scope] > (STRENGTH[lock.scope] or 3) then
    local stronger = { holder = me.agent, token = lock.token, scope = terms.scope,
      task = lock.task or terms.task, since_ms = number(lock.since_ms, now_ms()) }
    redis.call('SET', key, cjson.encode(stronger), 'KEEPTTL')
  end
  if left_ms >= 0 and left_ms < terms.ttl_ms then redis.call('PEXPIRE', key, terms.ttl_ms) end
  return lock.token
end

local function take(me, resource, before, terms)
  local key, token = K.lock .. resource, string.format('%.0f', redis.call('INCR', K.token))
  local lock = { holder = me.agent, token = token, scope = terms.scope, task = terms.task,
    since_ms = now_ms() }
  local ttl_ms = math.max(terms.ttl_ms, before and redis.call('PTTL', key) or 0)
  redis.call('SET', key, cjson.encode(lock), 'PX', ttl_ms)
  redis.call('SADD', K.agent_locks .. me.agent, resource)
  if before and before.holder ~= me.agent then
    redis.call('SREM', K.agent_locks .. before.holder, resource)
  end
  list_lock(resource)
  emit('lock_acquired', { resource = resource, agent = me.agent, token = token, task = terms.task })
  return token
end

local function take_locks(me, task, scope, ttl_ms)
  local reply, terms = { 'OK' }, { task = task, scope = scope, ttl_ms = ttl_ms }
  if task and scope == 'turn' then terms.scope = 'task' end
  for _, resource in ipairs(me.wants) do
    local lock = read_lock(K.lock .. resource)
    local passes = lock and lock.holder ~= me.agent and string.sub(resource, 1, 5) == 'path:'
    local kept = lock and lock.token and not passes
    reply[#reply + 1] = kept and renew(me, resource, lock, terms) or take(me, resource, lock, terms)
  end
  return reply
end
