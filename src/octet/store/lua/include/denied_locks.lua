-- What an agent's tool calls were refused: the SET locks:denied:<agent>, with TTL, so that the
-- agent is told when it comes free and the agent is idle. It is no place in the queue: the agent
-- waits for none of them.
-- remember_denied(agent, resource) · forget_denied(me): it has what it wants now.
-- KEYS lock* STRING
local DENIED_MS, MAX_DENIED = 3600000, 64

local function remember_denied(agent, resource)
  local key = K.lock .. 'denied:' .. agent
  local count = redis.pcall('SCARD', key)
  if type(count) ~= 'number' or count >= MAX_DENIED then return end
  redis.call('SADD', key, resource)
  redis.call('PEXPIRE', key, DENIED_MS)
end

local function forget_denied(me)
  local key = K.lock .. 'denied:' .. me.agent
  if redis.call('EXISTS', key) == 0 then return end
  for _, resource in ipairs(me.wants) do redis.pcall('SREM', key, resource) end
end
