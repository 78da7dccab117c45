-- take_locks(K, me, task, scope, ttl_ms): the agent's locks on all that it wants, nobody being in
-- the way; returns {OK, token, …}. K: all_locks prefix, locks prefix, index ZSET, token STRING, log
-- STREAM, channels. `task`: the one it holds, nil for none.
local STRENGTH = { turn = 1, task = 2, own = 3 }

local function renew(K, me, resource, lock, terms)
  local key = K.locks .. resource
  local left_ms = redis.call('PTTL', key)
  if lock.holder == me.agent and STRENGTH[terms.scope] > (STRENGTH[lock.scope] or 3) then
    local since_ms = number(lock.since_ms, now_ms())
    local stronger = { holder = me.agent, token = lock.token, scope = terms.scope, task = lock.task or terms.task, since_ms = since_ms }
    redis.call('SET', key, cjson.encode(stronger), 'KEEPTTL')
  end
  if left_ms >= 0 and left_ms < terms.ttl_ms then redis.call('PEXPIRE', key, terms.ttl_ms) end
  return lock.token
end

local function take(K, me, resource, before, terms)
  local key, token = K.locks .. resource, string.format('%.0f', redis.call('INCR', K.token))
  local lock = { holder = me.agent, token = token, scope = terms.scope, task = terms.task, since_ms = now_ms() }
  redis.call('SET', key, cjson.encode(lock), 'PX', math.max(terms.ttl_ms, before and redis.call('PTTL', key) or 0))
  redis.call('SADD', K.all_locks .. me.agent, resource)
  if before and before.holder ~= me.agent then redis.call('SREM', K.all_locks .. before.holder, resource) end
  enlist(K, resource)
  emit(K.log, K.channels, 'lock_acquired', { resource = resource, agent = me.agent, token = token, task = terms.task })
  return token
end

local function take_locks(K, me, task, scope, ttl_ms)
  local reply, terms = { 'OK' }, { task = task, scope = task and scope == 'turn' and 'task' or scope, ttl_ms = ttl_ms }
  for _, resource in ipairs(me.wants) do
    local lock = read_lock(K.locks .. resource)
    local kept = lock and lock.token and (lock.holder == me.agent or string.sub(resource, 1, 5) ~= 'path:')
    reply[#reply + 1] = kept and renew(K, me, resource, lock, terms) or take(K, me, resource, lock, terms)
  end
  return reply
end
