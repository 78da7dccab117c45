-- waiting(queue, id): the id of what waits there, nil for what was put into the queue by hand and
-- does not wait. A name without a record becomes a task of that title and priority, anything else
-- is forgotten. allowed(C, id): whether this agent may have the task now: it is not on offer to its
-- author, and nothing in flight is in its way; or it is to be judged, and is not the agent's own.
-- own_work(C, id): that last alone. C: agent, process, from (the waiting state), stage, works
-- (whether work begins here), K, incarnations; own, overlapping and offer_ms are counted.
local PASSED_OVER_MOST = 32

local function waiting(C, queue, id)
  local state = redis.pcall('HGET', C.K.tasks .. id, 'state')
  if state == C.from then return id end
  local priority = redis.call('ZSCORE', queue, id)
  unqueue(queue, id)
  if state or C.from ~= 'pending' then return nil end
  return add_raw(C.K, id, priority, '', id)
end

local function on_offer(C, author, until_ms)
  local left_ms = number(until_ms, 0) - now_ms()
  if not author or author == '' or author == C.agent or left_ms <= 0 then return false end
  if redis.call('HEXISTS', C.incarnations, author) == 0 then return false end
  C.offer_ms = math.min(C.offer_ms or left_ms, left_ms)
  return true
end

local function own_work(C, id)
  local f = JUDGING[C.stage] and redis.call('HMGET', C.K.tasks .. id, 'author', 'author_process')
  local own = f and is_author({ author = f[1], author_process = f[2] }, C.agent, C.process)
  C.own = C.own + (own and 1 or 0)
  return own
end

local function allowed(C, id)
  if not C.works then return not own_work(C, id) end
  local key = C.K.tasks .. id
  local f = redis.call('HMGET', key, 'paths', 'offered_to', 'offered_ms', 'passed_over')
  if on_offer(C, f[2], f[3]) then return false end
  if not f[1] or f[1] == '[]' then return true end
  local passed = number(f[4], 0)
  if not in_the_way(C.K, id, f[1], passed >= PASSED_OVER_MOST) then return true end
  C.overlapping = C.overlapping + 1
  redis.call('HSET', key, 'passed_over', passed + 1)
  if passed + 1 == PASSED_OVER_MOST and redis.call('HEXISTS', C.K.scopes, id) == 0 then redis.call('HSET', C.K.scopes, id, '?' .. f[1]) end
  return false
end
