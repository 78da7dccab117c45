-- event/publish.lua: keep an event in the log and publish it to live watchers, as one step.
-- KEYS log STREAM · channel* PUBSUB
-- ARGV type · fields: a JSON object
-- Returns {OK} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local spoiled = expect('XLEN', KEYS[1])
if spoiled then return spoiled end
-- Spliced, not decoded and encoded again: cjson would turn an empty array into an object and round
-- large numbers.
local fields = ARGV[3] == '{}' and '{' or string.sub(ARGV[3], 1, -2) .. ','
publish(KEYS[1], ARGV[1], ARGV[2], string.format('%s"type":%s,"at_ms":%.0f}', fields, cjson.encode(ARGV[2]), now_ms()))
return { 'OK' }
