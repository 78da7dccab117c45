-- must_lead(leader, agent, incarnation): nil, or the refusal to return because the agent, which
-- writes as orchestrator, is not the one that leads: it waits for its turn, or was replaced while
-- it stood still. '' for an agent: nobody who writes as such. Returned: {LED, who leads ('':
-- nobody), its epoch, for how long, ms} · {SPOILED, key}.
local function must_lead(leader, agent, incarnation)
  if agent == '' then return nil end
  local spoiled_leader = expect('HLEN', leader)
  if spoiled_leader then return spoiled_leader end
  local led = redis.call('HMGET', leader, 'agent', 'incarnation', 'epoch', 'since_ms')
  if led[1] == agent and led[2] == incarnation then return nil end
  return { 'LED', led[1] or '', led[3] or '0', string.format('%.0f', math.max(0, now_ms() - number(led[4], now_ms()))) }
end
