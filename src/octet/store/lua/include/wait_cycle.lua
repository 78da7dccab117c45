-- Agents in each other's way. `me`: agent, parent ('-': none), wants, ticket (huge for one that
-- does not wait), lenient (a tool call).
-- lock_in_the_way(me, resource, accepts): the first lock in the way: its resource, the lock and its
-- value; nil for none. A parent's locks let its sub-agent pass; accepts(resource, lock) may choose.
-- waiter_ahead(me, resource): the waiter that comes first, nil for none; one that waits, through
-- others, for `me` does not: both would wait for ever. A lenient one passes a waiter that still
-- waits for another thing, for PATIENCE_MS. wait_cycle(me): how `me`, waiting, would wait for
-- itself: {resource, agent, …}; nil when it would not.
-- KEYS lock* STRING
-- include: clock
-- include: read_lock
-- include: lock_paths
-- include: lock_queue
local PATIENCE_MS = 30000

local function is_own(me, agent) return agent == me.agent or agent == me.parent end

local function lock_in_the_way(me, resource, accepts)
  for _, other in ipairs(near(resource)) do
    local lock, value = read_lock(K.lock .. other)
    local in_the_way = lock and not is_own(me, lock.holder)
    if not lock and other ~= resource then
      unlist_lock(other)
    elseif in_the_way and (not accepts or accepts(other, lock)) then
      return other, lock, value
    end
  end
  return nil
end

-- Follows an agent through what it, or a sub-agent of it, waits for, until it comes to `me`. Agents
-- that came after `me` do not count: where several wait for each other, the last to come yields.
local function reaches(me, agent, path, seen)
  if is_own(me, agent) then return true end
  local function by(resource, next_agent)
    path[#path + 1], path[#path + 2] = resource, next_agent
    if reaches(me, next_agent, path, seen) then return true end
    path[#path], path[#path - 1] = nil, nil
    return false
  end
  local function through(waiter, resource)
    local function accepts(other, lock) return by(other, lock.holder) end
    if lock_in_the_way(waiter, resource, accepts) then return true end
    for _, before in ipairs(waiters()) do
      local first = before.ticket < waiter.ticket and before.agent ~= waiter.agent
      if first and wants(before, { resource }) and by(resource, before.agent) then return true end
    end
  end
  for _, waiter in ipairs(waiters()) do
    local of_agent = waiter.agent == agent or waiter.parent == agent
    local follow = of_agent and waiter.ticket < me.ticket and not seen[waiter.id]
    seen[waiter.id] = seen[waiter.id] or follow
    for _, resource in ipairs(follow and waiter.wants or {}) do
      if through(waiter, resource) then return true end
    end
  end
  return false
end

local function waiter_ahead(me, resource)
  for _, waiter in ipairs(waiters()) do
    local first = waiter.ticket < me.ticket and not is_own(me, waiter.agent)
    local patient = waiter.called == 0 and waiter.since + PATIENCE_MS > now_ms()
    local wanted = first and not (me.lenient and patient) and wants(waiter, { resource })
    if wanted and not reaches(me, waiter.agent, {}, {}) then return waiter end
  end
  return nil
end

local function wait_cycle(me)
  local path
  local function closes(other, lock)
    path = { other, lock.holder }
    return reaches(me, lock.holder, path, {})
  end
  for _, resource in ipairs(me.wants) do
    if lock_in_the_way(me, resource, closes) then return path end
  end
  return nil
end
