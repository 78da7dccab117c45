-- agent/update.lua: replace a registered agent's entry.
-- KEYS incarnations HASH · registry HASH
-- ARGV agent · incarnation · entry: JSON
-- Returns {OK} · {GONE}.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return { 'GONE' } end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return { 'OK' }
