-- held_task(task, token): the refusal to return, nil when the token is that of the claim now in force; and the task's facts.
local function held_task(task, token)
  local f = redis.call('HMGET', task, 'state', 'token', 'holder', 'title', 'priority', 'order', 'branch', 'author')
  if not f[1] then return { 'MISSING' }, nil end
  local held = { state = f[1], token = f[2], holder = f[3] or '', title = f[4] or '', priority = number(f[5], 0), order = number(f[6], 0),
    branch = f[7] or '', author = f[8] or '' }
  local in_force = held.token == token and held.holder ~= '' and (held.state == 'claimed' or held.state == 'merging')
  if not in_force then return { 'STALE', held.state, held.holder }, held end
  return nil, held
end
