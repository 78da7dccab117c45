-- A waiter for locks, as the HASH locks:waiting holds it: in one line its ticket, agent, parent
-- ('-': none), when it came, was last heard of and was called (ms; 0: not since); below it, a line
-- each, the resources that it wants.
-- as_waiter(id, value): the waiter, nil for a value that is none. save_waiter(waiter): write it.
-- wants(waiter, resources): whether what it wants meets one of these.
-- KEYS lock* STRING
-- include: lock_paths
local function as_waiter(id, value)
  local ticket, agent, parent, since, seen, called, wanted =
    string.match(value, '^(%d+) (%S+) (%S+) (%d+) (%d+) (%d+)\n(.*)$')
  if not ticket then return nil end
  local list = {}
  for resource in string.gmatch(wanted, '[^\n]+') do list[#list + 1] = resource end
  return {
    id = id, ticket = tonumber(ticket), agent = agent, parent = parent, since = tonumber(since),
    seen = tonumber(seen), called = tonumber(called), wants = list,
  }
end

local function save_waiter(waiter)
  local head = string.format('%.0f %s %s %.0f %.0f %.0f\n', waiter.ticket, waiter.agent,
    waiter.parent, waiter.since, waiter.seen, waiter.called)
  redis.call('HSET', K.lock .. 'waiting', waiter.id, head .. table.concat(waiter.wants, '\n'))
end

local function wants(waiter, resources)
  for _, own in ipairs(waiter.wants) do
    for _, resource in ipairs(resources) do
      if own == resource or meets(own, resource) then return true end
    end
  end
  return false
end
