-- msg_take.lua: hand out the messages of an inbox that nobody was given yet; each is given out once.
-- KEYS[1] inbox:<agent or role> STREAM · KEYS[2] inboxes:read HASH · KEYS[3] orchestrator HASH
-- ARGV[1] name of the inbox · ARGV[2] most messages · ARGV[3] agent that reads it as orchestrator, or '' · ARGV[4] its incarnation
-- Returns {OK, {id, {field, value, …}}, …} · {LED, agent, epoch, ms}: another orchestrator leads, and reads it · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: must_lead
local refused = must_lead(KEYS[3], ARGV[3], ARGV[4])
if refused then return refused end
local last = redis.call('HGET', KEYS[2], ARGV[1])
if last and not string.match(last, '^%d+%-%d+$') then return { 'SPOILED', KEYS[2] } end
local found = redis.call('XRANGE', KEYS[1], last and '(' .. last or '-', '+', 'COUNT', ARGV[2])
if #found > 0 then redis.call('HSET', KEYS[2], ARGV[1], found[#found][1]) end
table.insert(found, 1, 'OK')
return found
