-- lock/freed.lua: of what an agent was denied lately, what it could have now.
-- KEYS denied(agent) SET · locks_index ZSET
-- ARGV agent · told…: resources that it has been told of, to be forgotten
-- Returns {OK, how many it was denied, resource that is free, …} · {SPOILED, key}.
-- include: expect
-- include: wait_cycle
local spoiled = expect('SCARD', K.denied) or expect('ZCARD', K.locks_index)
if spoiled then return spoiled end
for _, resource in ipairs(A.told) do redis.call('SREM', K.denied, resource) end
local denied = redis.call('SMEMBERS', K.denied)
local reply = { 'OK', #denied }
for _, resource in ipairs(denied) do
  local me = { agent = A.agent, parent = '-', wants = { resource }, ticket = math.huge }
  me.lenient = true
  local free = not lock_in_the_way(me, resource) and not waiter_ahead(me, resource)
  if free then reply[#reply + 1] = resource end
end
return reply
