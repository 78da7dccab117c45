-- agent/update.lua: replace a registered agent's entry.
-- KEYS incarnations HASH · registry HASH
-- ARGV agent · incarnation · entry: JSON
-- Returns {OK} · {GONE}.
if redis.call('HGET', K.incarnations, A.agent) ~= A.incarnation then return { 'GONE' } end
redis.call('HSET', K.registry, A.agent, A.entry)
return { 'OK' }
