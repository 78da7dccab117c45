-- map/fail.lua: an item of a parallel analysis failed for good: it becomes a dead letter, and the
-- reason goes to the errors of the same name, whose fail-fast limit may stop the others.
-- KEYS queue(queue) LIST · queue_leased(queue) ZSET · errors(name) LIST · errors_policy(name) HASH
-- ARGV ttl_ms · token · reason: one line
-- Returns {OK, how many items are left, how many errors there are, 1 if they stop the work} ·
--   {STALE} · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: work_queue
-- include: queue_item
-- include: drained
-- include: error_list
spoiled = expect('LLEN', K.errors) or expect('HLEN', K.errors_policy)
if spoiled then return spoiled end
local item = read_item(A.token)
if not item or not redis.call('ZSCORE', K.queue_leased, A.token) then return { 'STALE' } end
local errors_ms = lifetime(A.ttl_ms, redis.call('PTTL', K.errors_policy))
drop_item(A.token, item, A.reason)
add_error({ text = A.reason, by = item.worker, item = item.value })
keep(errors_ms, K.errors, K.errors_policy)
renew(A.ttl_ms, 0)
local errors, stopped = count_errors()
wake(K.errors, stopped == 1 and 'stopped' or 'added')
wake(K.queue, 'failed')
return { 'OK', tell_if_drained(), errors, stopped }
