-- elect(me): where no orchestrator leads, the first of the candidates does from now on, under a
-- greater epoch. A message tells it, unless it is `me`, the agent that asks. A registered agent
-- counts as alive until it is retired; but one without a heartbeat just now comes after those that
-- have one.
-- KEYS orchestrator HASH · candidates ZSET · incarnations HASH · heartbeat* STRING · token STRING ·
--   inbox* STREAM
-- include: clock
-- include: expect
-- include: emit
-- include: post_message
local function next_leader()
  local silent
  for _, agent in ipairs(redis.call('ZRANGE', K.candidates, 0, -1)) do
    if redis.call('HEXISTS', K.incarnations, agent) == 0 then
      redis.call('ZREM', K.candidates, agent) -- taken off the registry by hand
    elseif redis.call('EXISTS', K.heartbeat .. agent) == 1 then
      return agent
    else
      silent = silent or agent
    end
  end
  return silent
end

local function tell_leader(agent, epoch, before)
  if expect('XLEN', K.inbox .. agent) then return end
  local why = before == '' and 'no other agent does' or before .. ' does not any more'
  local text = 'You lead this project as its orchestrator now (epoch ' .. epoch .. '): ' .. why
    .. '. `octet status` and `octet task graph` show where it stands: go on from there.'
  post(agent, { from = 'octet', to = agent, text = text })
end

local function set_leader(agent, incarnation)
  redis.call('HSET', K.orchestrator, 'agent', agent, 'incarnation', incarnation,
    'since_ms', now_ms())
end

local function elect(me)
  local led = redis.call('HMGET', K.orchestrator, 'agent', 'incarnation')
  local before = led[1] or ''
  if before ~= '' and redis.call('HGET', K.incarnations, before) == led[2] then return end
  local agent = next_leader()
  if not agent then
    if before ~= '' then set_leader('', '') end
    return
  end
  local epoch = string.format('%.0f', redis.call('INCR', K.token))
  set_leader(agent, redis.call('HGET', K.incarnations, agent))
  redis.call('HSET', K.orchestrator, 'epoch', epoch)
  emit('orchestrator_elected', { agent = agent, epoch = epoch, before = before })
  if agent ~= me then tell_leader(agent, epoch, before) end
end
