-- lock/leave_queue.lua: a waiter waits no more; whoever stood behind it is called.
-- KEYS lock* STRING
-- ARGV waiter
-- Returns {OK} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
local spoiled = expect('HLEN', KEYS[1] .. 'waiting')
if spoiled then return spoiled end
leave_queue({ locks = KEYS[1] }, function(waiter) return waiter.id == ARGV[1] end)
return { 'OK' }
