-- pipeline/begin.lua: one worker begins a step, when all before it are done and nobody else has it.
-- A worker that died is seen here: when its lease has run out, the step is anyone's. A failed step
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
local spoiled = expect('HLEN', KEYS[1]) or expect_number(KEYS[2])
if spoiled then return spoiled end
local key, wanted, chosen, first = KEYS[1], ARGV[2], nil, nil
local n, now = many_steps(key), now_ms()
for i = n, 1, -1 do
  if step_field(key, i, 'state') ~= 'done' then first = i end
  if wanted ~= '' and step_field(key, i, 'name') == wanted then chosen = i end
end
if n == 0 or (wanted ~= '' and not chosen) then return { 'MISSING' } end
if wanted == '' and not first then return { 'EMPTY' } end
chosen = chosen or first
if not first or chosen < first then return { 'STATE', step_field(key, chosen, 'name'), 'done', '' } end
local state, left_ms = step_field(key, first, 'state'), number(step_field(key, first, 'until'), 0) - now
if state == 'failed' and (chosen ~= first or ARGV[5] ~= 'again') then
  return { 'STATE', step_field(key, first, 'name'), 'failed', step_field(key, first, 'result') }
end
if chosen ~= first then
  return { 'LATER', step_field(key, first, 'name'), state == 'running' and math.max(left_ms, 0) or -1 }
end
if state == 'running' and left_ms > 0 then
  return { 'HELD', step_field(key, first, 'name'), step_field(key, first, 'worker'), left_ms }
end
local ms = lifetime(ARGV[1], redis.call('PTTL', key))
local token = string.format('%.0f', redis.call('INCR', KEYS[2]))
local ends, tries = string.format('%.0f', now + tonumber(ARGV[4])), number(step_field(key, first, 'tries'), 0) + 1
set_step(key, first, 'state', 'running', 'token', token, 'worker', ARGV[3], 'until', ends, 'tries', tries)
set_step(key, first, 'at', string.format('%.0f', now), 'result', '')
keep(ms == 0 and 0 or ms + tonumber(ARGV[4]), key)
wake(key, 'running')
local before = first > 1 and step_field(key, first - 1, 'result') or ''
return { 'OK', step_field(key, first, 'name'), token, before, ends, tries }
