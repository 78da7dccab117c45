-- held_task(task, token): nil when the token is that of the claim now in force, else the refusal to return.
local function held_task(task, token)
  local now = redis.call('HMGET', task, 'state', 'token', 'holder')
  if not now[1] then return { 'MISSING' } end
  local in_force = now[2] == token and (now[1] == 'claimed' or now[1] == 'merging')
  if not in_force then return { 'STALE', now[1], now[3] or '' } end
  return nil
end
