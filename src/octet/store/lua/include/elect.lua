-- elect(K, me): where nobody leads, the first of the orchestrators does from now on, under a
-- greater epoch. It is told by a message, unless it is `me`, who asks. Whoever is registered lives,
-- because only a burial says otherwise; but one without a heartbeat just now comes after those that
-- have one. K: leader HASH, candidates ZSET agent → incarnation, incarnations HASH, heartbeats
-- prefix, token STRING, inboxes prefix, log, channels.
local function next_leader(K)
  local silent
  for _, agent in ipairs(redis.call('ZRANGE', K.candidates, 0, -1)) do
    if redis.call('HEXISTS', K.incarnations, agent) == 0 then
      redis.call('ZREM', K.candidates, agent) -- taken off the registry by hand
    elseif redis.call('EXISTS', K.heartbeats .. agent) == 1 then
      return agent
    else
      silent = silent or agent
    end
  end
  return silent
end

local function tell_leader(K, agent, epoch, before)
  if expect('XLEN', K.inboxes .. agent) then return end
  local why = before == '' and 'nobody else does' or before .. ' does not any more'
  local text = 'You lead this project as its orchestrator now (epoch ' .. epoch .. '): ' .. why
    .. '. `octet status` and `octet task graph` show where it stands: go on from there.'
  post(K, agent, { from = 'octet', to = agent, text = text })
end

local function elect(K, me)
  local led = redis.call('HMGET', K.leader, 'agent', 'incarnation')
  local before = led[1] or ''
  if before ~= '' and redis.call('HGET', K.incarnations, before) == led[2] then return end
  local agent = next_leader(K)
  if not agent then
    if before ~= '' then redis.call('HSET', K.leader, 'agent', '', 'incarnation', '', 'since_ms', now_ms()) end
    return
  end
  local epoch = string.format('%.0f', redis.call('INCR', K.token))
  redis.call('HSET', K.leader, 'agent', agent, 'incarnation', redis.call('HGET', K.incarnations, agent), 'epoch', epoch,
    'since_ms', now_ms())
  emit(K.log, K.channels, 'orchestrator_elected', { agent = agent, epoch = epoch, before = before })
  if agent ~= me then tell_leader(K, agent, epoch, before) end
end
