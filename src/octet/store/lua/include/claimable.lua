-- waiting(queue, id): the id of the task that waits there, nil for a name that was put into the
-- queue by hand and does not wait. A name without a record becomes a task of that title and
-- priority, anything else is forgotten. allowed(id): whether this agent may have the task now. At
-- work: it is not on offer to its author, and nothing in flight overlaps it; at a gate: it is not
-- the agent's own work. own_work(id): that last alone. `passed` counts why tasks were passed over.
-- KEYS task* HASH · scopes HASH · incarnations HASH
-- ARGV agent · waiting · stage · process
-- include: clock
-- include: expect
-- include: raw_tasks
-- include: scopes
-- include: authorship
-- include: open_queues
local MAX_PASSED_OVER = 32
local passed = { overlapping = 0, own = 0, offer_ms = nil }

local function waiting(queue, id)
  local state = redis.pcall('HGET', K.task .. id, 'state')
  if state == A.waiting then return id end
  local priority = redis.call('ZSCORE', queue, id)
  unqueue(queue, id)
  if state or A.waiting ~= 'pending' then return nil end
  return add_raw(id, priority, '', id)
end

local function on_offer(author, until_ms)
  local left_ms = number(until_ms, 0) - now_ms()
  if not author or author == '' or author == A.agent or left_ms <= 0 then return false end
  if redis.call('HEXISTS', K.incarnations, author) == 0 then return false end
  passed.offer_ms = math.min(passed.offer_ms or left_ms, left_ms)
  return true
end

local function own_work(id)
  local f = JUDGING[A.stage] and redis.call('HMGET', K.task .. id, 'author', 'author_process')
  local own = f and is_author({ author = f[1], author_process = f[2] }, A.agent, A.process)
  passed.own = passed.own + (own and 1 or 0)
  return own
end

local function allowed(id)
  if not IS_WORK then return not own_work(id) end
  local key = K.task .. id
  local f = redis.call('HMGET', key, 'paths', 'offered_to', 'offered_ms', 'passed_over')
  if on_offer(f[2], f[3]) then return false end
  if not f[1] or f[1] == '[]' then return true end
  local times = number(f[4], 0)
  if not in_the_way(id, f[1], times >= MAX_PASSED_OVER) then return true end
  passed.overlapping = passed.overlapping + 1
  redis.call('HSET', key, 'passed_over', times + 1)
  if times + 1 == MAX_PASSED_OVER and redis.call('HEXISTS', K.scopes, id) == 0 then
    redis.call('HSET', K.scopes, id, '?' .. f[1])
  end
  return false
end
