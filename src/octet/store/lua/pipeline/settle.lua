-- pipeline/settle.lua: the worker of a step says that it is done, that it failed, or that it goes
-- on (running). A lease that has run out still counts until somebody else has begun the step.
-- KEYS pipeline(name) HASH
-- ARGV ttl_ms · token · state: done | failed | running · detail: result, reason, or new lease in ms
-- Returns {OK, step, how many steps are left} · {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: pipeline_steps
local spoiled = expect('HLEN', KEYS[1])
if spoiled then return spoiled end
local key, mine, left = KEYS[1], nil, 0
for i = 1, many_steps(key) do
  local state = step_field(key, i, 'state')
  if state == 'running' and step_field(key, i, 'token') == ARGV[2] then mine = i end
  if state ~= 'done' then left = left + 1 end
end
if not mine then return { 'STALE' } end
local ms, more_ms = lifetime(ARGV[1], redis.call('PTTL', key)), 0
if ARGV[3] == 'running' then
  more_ms = tonumber(ARGV[4])
  set_step(key, mine, 'until', string.format('%.0f', now_ms() + more_ms))
else
  set_step(key, mine, 'state', ARGV[3], 'result', ARGV[4], 'at', string.format('%.0f', now_ms()))
  wake(key, ARGV[3])
end
if ARGV[3] == 'done' then left = left - 1 end
keep(ms == 0 and 0 or ms + more_ms, key)
return { 'OK', step_field(key, mine, 'name'), left }
