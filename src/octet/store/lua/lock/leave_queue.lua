-- lock/leave_queue.lua: a waiter no longer waits; the waiters behind it are called.
-- KEYS lock* STRING
-- ARGV waiter
-- Returns {OK} · {SPOILED, key}.
-- include: expect
-- include: lock_queue
local spoiled = expect('HLEN', K.lock .. 'waiting')
if spoiled then return spoiled end
leave_queue(function(waiter) return waiter.id == A.waiter end)
return { 'OK' }
