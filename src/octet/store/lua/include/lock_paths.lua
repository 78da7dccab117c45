-- Locks on paths that cover other paths: directories (path:src/) and globs (path:src/*.py,
-- path:*.md). Brackets are letters here: file names have them (app/[id]/page). The SET `wide` under
-- the locks' prefix holds those that cover others: a plain file is compared with these alone,
-- however many locks there are.
-- is_wide(resource): whether a lock covers other paths. meets(a, b): whether two resources are one,
-- or a path may be in both. near(resource): every locked resource that meets this one, itself
-- first. list_lock(resource), unlist_lock(resource): into the index of locks and out of it.
-- KEYS lock* STRING · locks_index ZSET
-- include: globs
local wide_locks, shapes = nil, {}

local function is_wide(resource)
  if string.sub(resource, 1, 5) ~= 'path:' then return false end
  return string.sub(resource, -1) == '/' or string.find(resource, '[*?]') ~= nil
end

local function shape_of(resource)
  if not shapes[resource] then
    local path = string.gsub(string.sub(resource, 6), '%[', '\1') -- a letter that no name has
    shapes[resource] = segments(path)
    shapes[resource].file = not is_wide(resource)
  end
  return shapes[resource]
end

local function meets(a, b)
  if a == b then return true end
  local paths = string.sub(a, 1, 5) == 'path:' and string.sub(b, 1, 5) == 'path:'
  if not paths or not (is_wide(a) or is_wide(b)) then return false end
  return overlap(shape_of(a), shape_of(b))
end

-- Files that meet this directory or glob. Ten thousand may begin with the letters before its first
-- wildcard, and few of them have those behind its last: the parts are compared of these alone.
local function covered(resource)
  local path = string.match(resource, '^path:/*(.*)$')
  local directory, wild = string.sub(path, -1) == '/', string.find(path, '[*?]')
  local bare = string.match(resource, '^path:(.-)/*$')
  local anywhere = wild and not string.find(bare, '/', 1, true)
  local from = 'path:' .. (anywhere and '' or string.match(path, '^[^*?]*'))
  local tail = directory and '' or string.match(path, '[^*?/]*$')
  local to = string.sub(from, 1, -2) .. string.char(math.min(255, string.byte(from, -1) + 1))
  local found = {}
  for _, other in ipairs(redis.call('ZRANGEBYLEX', K.locks_index, '[' .. from, '(' .. to)) do
    local ends = string.sub(other, -#tail) == tail or string.find(other, tail .. '/', 1, true)
    local maybe = (tail == '' or ends) and not is_wide(other)
    if maybe and (not wild or resource == 'path:**' or meets(other, resource)) then
      found[#found + 1] = other
    end
  end
  if directory then found[#found + 1] = string.sub(resource, 1, -2) end
  return found
end

local function near(resource)
  wide_locks = wide_locks or redis.pcall('SMEMBERS', K.lock .. 'wide')
  local found = { resource }
  for _, other in ipairs(wide_locks) do
    if other ~= resource and meets(other, resource) then found[#found + 1] = other end
  end
  for _, other in ipairs(is_wide(resource) and covered(resource) or {}) do
    found[#found + 1] = other
  end
  return found
end

local function list_lock(resource)
  redis.call('ZADD', K.locks_index, 0, resource)
  if not is_wide(resource) then return end
  redis.call('SADD', K.lock .. 'wide', resource)
  wide_locks = nil
end

local function unlist_lock(resource)
  redis.call('ZREM', K.locks_index, resource)
  if is_wide(resource) then redis.pcall('SREM', K.lock .. 'wide', resource) end
end
