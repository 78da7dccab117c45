-- errors/add.lua: report errors, set how many of them stop the work, or ask whether they do.
-- KEYS errors(name) LIST · errors_policy(name) HASH
-- ARGV ttl_ms · fail_fast: how many stop the work, 0: none does, '': as it was · by: the reporter ·
--   item: the one that it is about, or '' · texts…
-- Returns {OK, how many there were, 1 if they stop the work} · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: error_list
local spoiled = expect('LLEN', K.errors) or expect('HLEN', K.errors_policy)
if spoiled then return spoiled end
local ms = lifetime(A.ttl_ms, redis.call('PTTL', K.errors_policy))
if A.fail_fast ~= '' then redis.call('HSET', K.errors_policy, 'fail_fast', A.fail_fast) end
for _, text in ipairs(A.texts) do add_error({ text = text, by = A.by, item = A.item }) end
keep(ms, K.errors, K.errors_policy)
local count, stopped = count_errors()
local changed = #A.texts > 0 or A.fail_fast ~= ''
if changed then wake(K.errors, stopped == 1 and 'stopped' or 'added') end
return { 'OK', count, stopped }
