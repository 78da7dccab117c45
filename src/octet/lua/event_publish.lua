-- event_publish.lua: keep an event in the log and publish it to live watchers, as one step.
-- KEYS[1] log STREAM
-- ARGV[1] channel prefix · ARGV[2] type · ARGV[3] fields, a JSON object
-- Returns {OK}.
-- include: clock
-- include: emit
emit(KEYS[1], ARGV[1], ARGV[2], cjson.decode(ARGV[3]))
return { 'OK' }
