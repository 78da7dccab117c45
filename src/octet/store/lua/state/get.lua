-- state/get.lua: fields of a shared state with their versions, at one instant. Reading renews its
-- life.
-- KEYS shared_state(name) HASH
-- ARGV ttl_ms · fields…: none: all
-- Returns {OK, field, value, version, …} of those that are there · {SPOILED, key}.
-- include: shared_state
local reply = { 'OK' }

local function add(field, value)
  local n = #reply
  if not value then return end
  reply[n + 1], reply[n + 2], reply[n + 3] = field, value, version_of(field, value)
end

for _, field in ipairs(A.fields) do add(field, redis.call('HGET', K.shared_state, field)) end
if #A.fields == 0 then
  local all = redis.call('HGETALL', K.shared_state)
  for i = 1, #all, 2 do add(all[i], all[i + 1]) end
end
renew(A.ttl_ms)
return reply
