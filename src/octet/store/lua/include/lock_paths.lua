-- is_wide(resource): whether a lock covers other paths: a directory (path:src/) or a glob
-- (path:src/*.py, path:*.md). meets(a, b): whether two resources are one, or a path may be in both.
-- Brackets are letters here: file names have them (app/[id]/page). near(K, resource): every locked
-- resource that meets this one, itself first. K: locks prefix, index ZSET. Beside each other under
-- the prefix stand the locks and `wide`, the SET of those that are wide: a plain file looks at
-- these alone, however many locks there are.
local function is_wide(resource)
  if string.sub(resource, 1, 5) ~= 'path:' then return false end
  return string.sub(resource, -1) == '/' or string.find(resource, '[*?]') ~= nil
end

local shapes = {}
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
  if not (is_wide(a) or is_wide(b)) or string.sub(a, 1, 5) ~= 'path:' or string.sub(b, 1, 5) ~= 'path:' then return false end
  return overlap(shape_of(a), shape_of(b))
end

-- Files that meet this directory or glob. Ten thousand may begin with the letters before its first
-- wildcard, and few of them have those behind its last: the parts are compared of these alone.
local function covered(K, resource)
  local path = string.match(resource, '^path:/*(.*)$')
  local directory, wild = string.sub(path, -1) == '/', string.find(path, '[*?]')
  local anywhere = wild and not string.find(string.match(resource, '^path:(.-)/*$'), '/', 1, true)
  local from, tail = 'path:' .. (anywhere and '' or string.match(path, '^[^*?]*')), directory and '' or string.match(path, '[^*?/]*$')
  local to = string.sub(from, 1, -2) .. string.char(math.min(255, string.byte(from, -1) + 1))
  local found = {}
  for _, other in ipairs(redis.call('ZRANGEBYLEX', K.index, '[' .. from, '(' .. to)) do
    local maybe = tail == '' or string.sub(other, -#tail) == tail or string.find(other, tail .. '/', 1, true)
    if maybe and not is_wide(other) and (not wild or resource == 'path:**' or meets(other, resource)) then found[#found + 1] = other end
  end
  if directory then found[#found + 1] = string.sub(resource, 1, -2) end
  return found
end

local function near(K, resource)
  K.wide = K.wide or redis.pcall('SMEMBERS', K.locks .. 'wide')
  local found = { resource }
  for _, other in ipairs(K.wide) do
    if other ~= resource and meets(other, resource) then found[#found + 1] = other end
  end
  for _, other in ipairs(is_wide(resource) and covered(K, resource) or {}) do found[#found + 1] = other end
  return found
end

-- enlist(K, resource), strike(K, resource): the lock is, or is no more, among those that exist.
local function enlist(K, resource)
  redis.call('ZADD', K.index, 0, resource)
  if not is_wide(resource) then return end
  redis.call('SADD', K.locks .. 'wide', resource)
  K.wide = nil
end

local function strike(K, resource)
  redis.call('ZREM', K.index, resource)
  if is_wide(resource) then redis.pcall('SREM', K.locks .. 'wide', resource) end
end
