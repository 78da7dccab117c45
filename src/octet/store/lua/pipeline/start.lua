-- pipeline/start.lua: a pipeline with its steps, none of them begun; one that has the same steps
-- goes on as it is.
-- KEYS pipeline(name) HASH
-- ARGV ttl_ms · steps…: their names, each another
-- Returns {OK, 1 if it is new} · {EXISTS} with other steps · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: lifetime
-- include: pipeline_steps
local spoiled = expect('HLEN', KEYS[1])
if spoiled then return spoiled end
local ms = lifetime(ARGV[1], redis.call('PTTL', KEYS[1]))
local known = many_steps(KEYS[1])
local same = known == #ARGV - 1
for i = 2, #ARGV do same = same and step_field(KEYS[1], i - 1, 'name') == ARGV[i] end
if known > 0 and not same then return { 'EXISTS' } end
if known == 0 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'n', #ARGV - 1, 'at', string.format('%.0f', now_ms()))
  for i = 2, #ARGV do set_step(KEYS[1], i - 1, 'name', ARGV[i], 'state', 'waiting') end
end
keep(ms, KEYS[1])
wake(KEYS[1], 'started')
return { 'OK', known == 0 and 1 or 0 }
