-- state/get.lua: fields of a shared state with their versions, at one instant. Looking renews its
-- life.
-- ARGV ttl_ms · fields…: none: all
-- Returns {OK, field, value, version, …} of those that are there · {SPOILED, key}.
-- include: expect
-- include: lifetime
-- include: state_keys
local reply = { 'OK' }

local function add(field, value)
  if not value then return end
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = field, value, version_of(field, value)
end

for i = 2, #ARGV do add(ARGV[i], redis.call('HGET', state, ARGV[i])) end
if #ARGV == 1 then
  local all = redis.call('HGETALL', state)
  for i = 1, #all, 2 do add(all[i], all[i + 1]) end
end
renew(ARGV[1])
return reply
