-- agent/retire.lua: an agent leaves, or is dead: its claims are requeued, its locks are freed.
-- `expired` is believed only while there is no heartbeat; `died` comes from a process that saw the
-- agent's end.
-- KEYS incarnations HASH · heartbeat* STRING · sweeper HASH
-- ARGV agent · incarnation · why: left | died | expired · epoch: of the sweep that found it, ''
--   where no sweep need be asked
-- Returns {OK, tasks array, resources array} · {GONE} · {ALIVE} · {STALE, sweeper} when the sweep
--   has passed on · {SPOILED, key}.
-- include: expect
-- include: check_agent_keys
-- include: retire
spoiled = expect('HLEN', K.sweeper)
if spoiled then return spoiled end

if redis.call('HGET', K.incarnations, A.agent) ~= A.incarnation then return { 'GONE' } end
local beats = redis.call('EXISTS', K.heartbeat .. A.agent) == 1
if A.why == 'expired' and beats then return { 'ALIVE' } end
if A.epoch ~= '' and redis.call('HGET', K.sweeper, 'epoch') ~= A.epoch then
  return { 'STALE', redis.call('HGET', K.sweeper, 'holder') or '' }
end
local tasks, freed = retire(A.agent, A.why, A.why ~= 'left')
return { 'OK', tasks, freed }
