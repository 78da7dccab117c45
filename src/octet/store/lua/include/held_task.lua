-- held_task(key, token): the refusal to return, nil when the token is that of the claim now in
-- force; and the task's facts. next_gate(held): the gate after the one that the task is at, nil
-- after the last and where it is at none. first_gate(held, given): the gates that submitted work
-- passes (those given, else the task's own, else the merge), and the first.
-- include: task_facts
local function held_task(key, token)
  local held = facts_of(key)
  if not held then return { 'MISSING' }, nil end
  local in_force = held.token == token and held.holder ~= '' and WORKING[held.state]
  if not in_force then return { 'STALE', held.state, held.holder }, held end
  return nil, held
end

local function next_gate(held)
  local found
  for gate in string.gmatch(held.gates, '%S+') do
    if found then return gate end
    found = gate == held.stage
  end
  return nil
end

local function first_gate(held, given)
  local gates = given ~= '' and given or held.gates ~= '' and held.gates or 'merge'
  return gates, string.match(gates, '%S+')
end
