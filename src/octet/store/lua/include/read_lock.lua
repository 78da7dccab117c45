-- read_lock(key): the lock in force and its value, nil for none. The lock is a table with holder
-- and perhaps token, scope, task and since_ms; one that was set by hand has only its holder's name.
local function read_lock(key)
  local value = redis.pcall('GET', key)
  if not value then return nil end
  if type(value) ~= 'string' or value == '' then return { holder = '?' }, '?' end
  local known, lock = pcall(cjson.decode, value)
  if not known or type(lock) ~= 'table' or type(lock.holder) ~= 'string' then
    return { holder = value }, value
  end
  for _, field in ipairs({ 'token', 'scope', 'task' }) do
    if type(lock[field]) ~= 'string' then lock[field] = nil end
  end
  if type(lock.since_ms) ~= 'number' then lock.since_ms = nil end
  return lock, value
end
