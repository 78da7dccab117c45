-- pipeline/start.lua: a pipeline with its steps, none of them begun; one that has the same steps
-- goes on as it is.
-- KEYS pipeline(name) HASH
-- ARGV ttl_ms · steps…: their names, all different
-- Returns {OK, 1 if it is new} · {EXISTS} with other steps · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: pipeline_steps
local spoiled = expect('HLEN', K.pipeline)
if spoiled then return spoiled end
local ms = lifetime(A.ttl_ms, redis.call('PTTL', K.pipeline))
local known = step_count()
local same = known == #A.steps
for i, name in ipairs(A.steps) do same = same and step_field(i, 'name') == name end
if known > 0 and not same then return { 'EXISTS' } end
if known == 0 then
  redis.call('DEL', K.pipeline)
  redis.call('HSET', K.pipeline, 'n', #A.steps, 'at', string.format('%.0f', now_ms()))
  for i, name in ipairs(A.steps) do set_step(i, 'name', name, 'state', 'waiting') end
end
keep(ms, K.pipeline)
wake(K.pipeline, 'started')
return { 'OK', known == 0 and 1 or 0 }
