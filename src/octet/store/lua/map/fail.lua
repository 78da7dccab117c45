-- map/fail.lua: an item of a parallel analysis failed for good: it becomes a dead letter, and the
-- reason goes to the errors of the same name, whose fail-fast limit may stop the others.
-- KEYS errors(name) LIST · errors_policy(name) HASH
-- ARGV ttl_ms · token · reason: one line
-- Returns {OK, how many items are left, how many errors there are, 1 if they stop the work} ·
--   {STALE} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: queue_keys
-- include: queue_item
-- include: queue_left
-- include: error_list
spoiled = expect('LLEN', KEYS[7]) or expect('HLEN', KEYS[8])
if spoiled then return spoiled end
local item = read_item(ARGV[2])
if not item or not redis.call('ZSCORE', Q.leased, ARGV[2]) then return { 'STALE' } end
local errors_ms = lifetime(ARGV[1], redis.call('PTTL', KEYS[8]))
bury_item(ARGV[2], item, ARGV[3])
add_error(KEYS[7], KEYS[8], { text = ARGV[3], by = item.worker, item = item.value })
keep(errors_ms, KEYS[7], KEYS[8])
renew(ARGV[1], 0)
local errors, stopped = count_errors(KEYS[7], KEYS[8])
wake(KEYS[7], stopped == 1 and 'stopped' or 'added')
wake(Q.ready, 'failed')
return { 'OK', tell_if_drained(), errors, stopped }
