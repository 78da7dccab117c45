-- agent/retire.lua: an agent leaves, or is dead: its claims go back to their queues, its locks are
-- freed.
-- KEYS sweeper HASH
-- ARGV agent · incarnation · why: left | died | expired · epoch: of the sweep that found it, ''
--   where no sweep need be asked
-- `expired` is believed only while there is no heartbeat; `died` comes from one who saw the process
-- end.
-- Returns {OK, tasks array, resources array} · {GONE} · {ALIVE} · {STALE, sweeper} when the sweep
--   has passed on · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: enqueue
-- include: queues
-- include: facts
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: free_locks
-- include: give_back
-- include: post
-- include: elect
-- include: retire
-- include: agent_keys
local agent, why = ARGV[2], ARGV[4]
spoiled = expect('HLEN', KEYS[21])
if spoiled then return spoiled end

if redis.call('HGET', K.incarnations, agent) ~= ARGV[3] then return { 'GONE' } end
if why == 'expired' and redis.call('EXISTS', K.heartbeats .. agent) == 1 then return { 'ALIVE' } end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[21], 'epoch') ~= ARGV[5] then
  return { 'STALE', redis.call('HGET', KEYS[21], 'holder') or '' }
end
local tasks, freed = retire(K, agent, why, why ~= 'left')
return { 'OK', tasks, freed }
