-- pipeline/begin.lua: one worker begins a step, when all before it are done and no other worker has
-- it. A worker that died is seen here: when its lease has run out, the step is free. A failed step
-- stops what follows until it is begun again.
-- KEYS pipeline(name) HASH · token STRING
-- ARGV ttl_ms · step: '' for the first that is not done · worker · lease_ms · again: 'again' also
--   begins one that failed, or ''
-- Returns {OK, step, token, result of the step before, end of the lease (ms), tries} · {MISSING}
--   pipeline or step · {EMPTY}, all are done · {LATER, the step that comes first, ms until it may
--   be begun, -1: when it is done} · {HELD, step, worker, ms that are left} · {STATE, step that is
--   failed, or done already, state, reason} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: pipeline_steps
local spoiled = expect('HLEN', K.pipeline) or expect_number(K.token)
if spoiled then return spoiled end
local chosen, first
local count, now = step_count(), now_ms()
for i = count, 1, -1 do
  if step_field(i, 'state') ~= 'done' then first = i end
  if A.step ~= '' and step_field(i, 'name') == A.step then chosen = i end
end
if count == 0 or (A.step ~= '' and not chosen) then return { 'MISSING' } end
if A.step == '' and not first then return { 'EMPTY' } end
chosen = chosen or first
if not first or chosen < first then return { 'STATE', step_field(chosen, 'name'), 'done', '' } end
local name, state = step_field(first, 'name'), step_field(first, 'state')
local left_ms = number(step_field(first, 'until'), 0) - now
if state == 'failed' and (chosen ~= first or A.again ~= 'again') then
  return { 'STATE', name, 'failed', step_field(first, 'result') }
end
if chosen ~= first then
  return { 'LATER', name, state == 'running' and math.max(left_ms, 0) or -1 }
end
if state == 'running' and left_ms > 0 then
  return { 'HELD', name, step_field(first, 'worker'), left_ms }
end
local lease_ms = tonumber(A.lease_ms)
local ms = lifetime(A.ttl_ms, redis.call('PTTL', K.pipeline))
local token = string.format('%.0f', redis.call('INCR', K.token))
local ends, tries = string.format('%.0f', now + lease_ms), number(step_field(first, 'tries'), 0) + 1
set_step(first, 'state', 'running', 'token', token, 'worker', A.worker, 'until', ends,
  'tries', tries, 'at', string.format('%.0f', now), 'result', '')
keep(ms == 0 and 0 or ms + lease_ms, K.pipeline)
wake(K.pipeline, 'running')
local before = first > 1 and step_field(first - 1, 'result') or ''
return { 'OK', name, token, before, ends, tries }
