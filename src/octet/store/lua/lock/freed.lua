-- lock/freed.lua: of what an agent was denied lately, what it could have now.
-- KEYS denied(agent) SET · lock* STRING · locks_index ZSET
-- ARGV agent · told…: resources that it has been told of, to be forgotten
-- Returns {OK, how many it was denied, resource that is free, …} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: read_lock
-- include: globs
-- include: lock_paths
-- include: places
-- include: waiters
-- include: standoff
local K, spoiled = { locks = KEYS[2], index = KEYS[3] }, expect('SCARD', KEYS[1]) or expect('ZCARD', KEYS[3])
if spoiled then return spoiled end
for i = 2, #ARGV do redis.call('SREM', KEYS[1], ARGV[i]) end
local denied, reply = redis.call('SMEMBERS', KEYS[1]), { 'OK', 0 }
reply[2] = #denied
for _, resource in ipairs(denied) do
  local me = { agent = ARGV[1], parent = '-', wants = { resource }, ticket = math.huge, lenient = true }
  if not held(K, me, resource) and not ahead(K, me, resource) then reply[#reply + 1] = resource end
end
return reply
