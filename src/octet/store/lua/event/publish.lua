-- event/publish.lua: keep an event in the log and publish it to live watchers, as one step.
-- KEYS log STREAM
-- ARGV type · fields: a JSON object
-- Returns {OK} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local spoiled = expect('XLEN', K.log)
if spoiled then return spoiled end
-- Spliced, not decoded and encoded again: cjson would turn an empty array into an object and round
-- large numbers.
local fields = A.fields == '{}' and '{' or string.sub(A.fields, 1, -2) .. ','
local kind = cjson.encode(A.type)
publish(A.type, string.format('%s"type":%s,"at_ms":%.0f}', fields, kind, now_ms()))
return { 'OK' }
