-- agent/update.lua: replace a registered agent's entry.
-- KEYS[1] agents:incarnations HASH · KEYS[2] agents:registry HASH
-- ARGV[1] agent · ARGV[2] incarnation · ARGV[3] entry, JSON
-- Returns {OK} · {GONE}.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return { 'GONE' } end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return { 'OK' }
