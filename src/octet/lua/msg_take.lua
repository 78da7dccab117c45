-- msg_take.lua: hand out the messages of an inbox that nobody was given yet; each is given out once.
-- KEYS[1] inbox:<agent or role> STREAM · KEYS[2] inboxes:read HASH
-- ARGV[1] name of the inbox · ARGV[2] most messages
-- Returns {OK, {id, {field, value, …}}, …} · {SPOILED, key}.
local last = redis.call('HGET', KEYS[2], ARGV[1])
if last and not string.match(last, '^%d+%-%d+$') then return { 'SPOILED', KEYS[2] } end
local found = redis.call('XRANGE', KEYS[1], last and '(' .. last or '-', '+', 'COUNT', ARGV[2])
if #found > 0 then redis.call('HSET', KEYS[2], ARGV[1], found[#found][1]) end
table.insert(found, 1, 'OK')
return found
