-- Who stands in whose way. `me`: agent, parent ('-': none), wants, ticket (huge for one that does
-- not wait), lenient. held(K, me, resource, accepts): the first lock in the way, for which
-- accepts(its resource, lock) where that is given: its resource, the lock and its value; nil for
-- none. A parent's locks let its sub-agent pass. ahead(K, me, resource): the waiter that comes
-- first, nil for none. It does not when it waits, through whomever, for `me` itself: both would
-- wait for ever. A tool call (`lenient`) passes who waits for something else besides, until that
-- has waited for PATIENCE_MS. standoff(K, me): how `me`, waiting, would wait for itself: {resource,
-- agent, …} from whom to whom, nil when it would not.
local PATIENCE_MS = 30000

local function held(K, me, resource, accepts)
  for _, other in ipairs(near(K, resource)) do
    local lock, value = read_lock(K.locks .. other)
    if not lock and other ~= resource then
      strike(K, other)
    elseif lock and lock.holder ~= me.agent and lock.holder ~= me.parent and (not accepts or accepts(other, lock)) then
      return other, lock, value
    end
  end
  return nil
end

-- Follows an agent through what it, or a sub-agent of it, waits for, until it comes to `me`.
-- Whoever came after `me` does not count: where several wait for each other, the last to come is
-- the one to yield.
local function reaches(K, me, agent, path, seen)
  if agent == me.agent or agent == me.parent then return true end
  local function by(resource, next_agent)
    path[#path + 1], path[#path + 2] = resource, next_agent
    if reaches(K, me, next_agent, path, seen) then return true end
    path[#path], path[#path - 1] = nil, nil
    return false
  end
  for _, waiter in ipairs(waiters(K)) do
    if (waiter.agent == agent or waiter.parent == agent) and waiter.ticket < me.ticket and not seen[waiter.id] then
      seen[waiter.id] = true
      for _, resource in ipairs(waiter.wants) do
        if held(K, waiter, resource, function(other, lock) return by(other, lock.holder) end) then return true end
        for _, before in ipairs(waiters(K)) do
          local first = before.ticket < waiter.ticket and before.agent ~= waiter.agent and wants(before, { resource })
          if first and by(resource, before.agent) then return true end
        end
      end
    end
  end
  return false
end

local function ahead(K, me, resource)
  for _, waiter in ipairs(waiters(K)) do
    local first = waiter.ticket < me.ticket and waiter.agent ~= me.agent and waiter.agent ~= me.parent
    local passed = me.lenient and waiter.called == 0 and waiter.since + PATIENCE_MS > now_ms()
    if first and not passed and wants(waiter, { resource }) and not reaches(K, me, waiter.agent, {}, {}) then return waiter end
  end
  return nil
end

local function standoff(K, me)
  local path
  for _, resource in ipairs(me.wants) do
    local closed = held(K, me, resource, function(other, lock)
      path = { other, lock.holder }
      return reaches(K, me, lock.holder, path, {})
    end)
    if closed then return path end
  end
  return nil
end
