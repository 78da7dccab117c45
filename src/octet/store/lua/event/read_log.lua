-- event/read_log.lua: the entries of the log behind a place, with what tells how many were trimmed
-- before them, at one moment.
-- KEYS log STREAM
-- ARGV last: id of the last entry read · max_entries
-- Returns {OK, entries ever added ('': the server does not count them, or there is no log), entries
--   there are, id of the first, id of the last ever, {id, {field, value, …}}, …} · {SPOILED, key}.
-- include: expect
local spoiled = expect('XLEN', K.log)
if spoiled then return spoiled end
local facts, found = {}, redis.pcall('XINFO', 'STREAM', K.log)
for i = 1, found.err and 0 or #found, 2 do facts[found[i]] = found[i + 1] end
local first = redis.call('XRANGE', K.log, '-', '+', 'COUNT', 1)[1]
local reply = { 'OK', facts['entries-added'] or '', facts.length or 0, first and first[1] or '',
  facts['last-generated-id'] or '' }
local entries = redis.call('XRANGE', K.log, '(' .. A.last, '+', 'COUNT', A.max_entries)
for _, entry in ipairs(entries) do reply[#reply + 1] = entry end
return reply
