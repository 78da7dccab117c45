-- agent_retire.lua: an agent leaves, or is dead: its claims go back to their queues, its locks are freed.
-- KEYS[1..20] as in include/agent_keys.lua
-- ARGV[1] channel prefix · ARGV[2] agent · ARGV[3] incarnation · ARGV[4] left | died | expired
-- `expired` is believed only while there is no heartbeat; `died` comes from one who saw the process end.
-- Returns {OK, tasks array, resources array} · {GONE} · {ALIVE} · {SPOILED, key}.
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

if redis.call('HGET', K.incarnations, agent) ~= ARGV[3] then return { 'GONE' } end
if why == 'expired' and redis.call('EXISTS', K.heartbeats .. agent) == 1 then return { 'ALIVE' } end
local tasks, freed = retire(K, agent, why, why ~= 'left')
return { 'OK', tasks, freed }
