-- must_lead(agent, incarnation): nil, or the refusal to return because the agent, which writes as
-- orchestrator, is not the one that leads: it waits for its turn, or was replaced while it stood
-- still. The agent is '' where the writer does not write as orchestrator. The refusal: {LED, the
-- leader ('' for none), its epoch, for how long in ms} · {SPOILED, key}.
-- KEYS orchestrator HASH
-- include: clock
-- include: expect
local function must_lead(agent, incarnation)
  if agent == '' then return nil end
  local spoiled_leader = expect('HLEN', K.orchestrator)
  if spoiled_leader then return spoiled_leader end
  local led = redis.call('HMGET', K.orchestrator, 'agent', 'incarnation', 'epoch', 'since_ms')
  if led[1] == agent and led[2] == incarnation then return nil end
  local for_ms = math.max(0, now_ms() - number(led[4], now_ms()))
  return { 'LED', led[1] or '', led[3] or '0', string.format('%.0f', for_ms) }
end
