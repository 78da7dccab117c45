-- first_gate(held, given): the gates that submitted work passes (those given, else the task's own,
-- else the merge), and the first.
local function first_gate(held, given)
  local gates = given ~= '' and given or held.gates ~= '' and held.gates or 'merge'
  return gates, string.match(gates, '%S+')
end
