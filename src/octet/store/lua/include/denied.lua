-- What an agent's tool calls were refused: under the locks prefix the SET `denied:<agent>`, with
-- TTL, so that an idle agent is told when it comes free. No place in the queue: it waits for none
-- of them. remember_denied(K, agent, resource) · forget_denied(K, me): it has what it wants now.
local DENIED_MS, DENIED_MOST = 3600000, 64

local function remember_denied(K, agent, resource)
  local key = K.locks .. 'denied:' .. agent
  local count = redis.pcall('SCARD', key)
  if type(count) ~= 'number' or count >= DENIED_MOST then return end
  redis.call('SADD', key, resource)
  redis.call('PEXPIRE', key, DENIED_MS)
end

local function forget_denied(K, me)
  local key = K.locks .. 'denied:' .. me.agent
  if redis.call('EXISTS', key) == 0 then return end
  for _, resource in ipairs(me.wants) do redis.pcall('SREM', key, resource) end
end
