-- errors/add.lua: report errors, set how many of them stop the work, or ask whether they do.
-- KEYS errors(name) LIST · errors_policy(name) HASH
-- ARGV ttl_ms · fail_fast: how many stop the work, 0: none does, '': as it was · by: who reports ·
--   item: the one that it is about, or '' · texts…
-- Returns {OK, how many there were, 1 if they stop the work} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: error_list
local spoiled = expect('LLEN', KEYS[1]) or expect('HLEN', KEYS[2])
if spoiled then return spoiled end
local ms = lifetime(ARGV[1], redis.call('PTTL', KEYS[2]))
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'fail_fast', ARGV[2]) end
for i = 5, #ARGV do add_error(KEYS[1], KEYS[2], { text = ARGV[i], by = ARGV[3], item = ARGV[4] }) end
keep(ms, KEYS[1], KEYS[2])
local count, stopped = count_errors(KEYS[1], KEYS[2])
if #ARGV > 4 or ARGV[2] ~= '' then wake(KEYS[1], stopped == 1 and 'stopped' or 'added') end
return { 'OK', count, stopped }
