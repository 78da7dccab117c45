-- A place in the queue for locks, as the HASH locks:waiting holds it: in one line its ticket,
-- agent, parent ('-': none), when it came, was last heard of and was called (ms; 0: not since), and
-- below it, a line each, what it wants. as_waiter(id, value): the waiter, nil where somebody wrote
-- nonsense. keep(K, waiter): write it. wants(waiter, resources): whether what it wants meets one of
-- these.
local function as_waiter(id, value)
  local ticket, agent, parent, since, seen, called, wanted = string.match(value, '^(%d+) (%S+) (%S+) (%d+) (%d+) (%d+)\n(.*)$')
  local list = {}
  for resource in string.gmatch(wanted or '', '[^\n]+') do list[#list + 1] = resource end
  return ticket and { id = id, ticket = tonumber(ticket), agent = agent, parent = parent, since = tonumber(since), seen = tonumber(seen),
    called = tonumber(called), wants = list } or nil
end

local function keep(K, w)
  local head = string.format('%.0f %s %s %.0f %.0f %.0f\n', w.ticket, w.agent, w.parent, w.since, w.seen, w.called)
  redis.call('HSET', K.locks .. 'waiting', w.id, head .. table.concat(w.wants, '\n'))
end

local function wants(waiter, resources)
  for _, own in ipairs(waiter.wants) do
    for _, resource in ipairs(resources) do
      if own == resource or meets(own, resource) then return true end
    end
  end
  return false
end
