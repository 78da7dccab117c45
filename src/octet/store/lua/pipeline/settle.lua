-- pipeline/settle.lua: the worker of a step reports that it is done, that it failed, or that it
-- goes on (running). A lease that has run out still counts until another worker has begun the step.
-- KEYS pipeline(name) HASH
-- ARGV ttl_ms · token · state: done | failed | running · detail: result, reason, or new lease in ms
-- Returns {OK, step, how many steps are left} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: pipeline_steps
local spoiled = expect('HLEN', K.pipeline)
if spoiled then return spoiled end
local mine, left = nil, 0
for i = 1, step_count() do
  local state = step_field(i, 'state')
  if state == 'running' and step_field(i, 'token') == A.token then mine = i end
  if state ~= 'done' then left = left + 1 end
end
if not mine then return { 'STALE' } end
local ms, more_ms, now = lifetime(A.ttl_ms, redis.call('PTTL', K.pipeline)), 0, now_ms()
if A.state == 'running' then
  more_ms = tonumber(A.detail)
  set_step(mine, 'until', string.format('%.0f', now + more_ms))
else
  set_step(mine, 'state', A.state, 'result', A.detail, 'at', string.format('%.0f', now))
  wake(K.pipeline, A.state)
end
if A.state == 'done' then left = left - 1 end
keep(ms == 0 and 0 or ms + more_ms, K.pipeline)
return { 'OK', step_field(mine, 'name'), left }
