-- in_the_way(K, id, paths, reserved): a task whose declared scope may overlap these globs (a JSON array), nil for none.
-- What counts is every task in flight, from its claim until it is merged, given back or dead; and every task that was passed over
-- so often that its scope is kept for it, unless this is such a task itself (two of them would wait for each other).
-- K.scopes: HASH id → '+' (in flight) or '?' (kept) and the globs. Two wildcards in one segment are taken to meet where the
-- letters before the first and after the last allow it: an overlap may be seen that there is not, never the other way round.
local function segments(glob)
  local parts, bare = {}, string.match(glob, '^(.-)/*$')
  -- a bare name is at the top; a bare pattern, as in .gitignore, at any depth
  if not string.find(bare, '/', 1, true) and string.find(bare, '[*?[]') then parts[1] = '**' end
  for part in string.gmatch(glob, '[^/]+') do parts[#parts + 1] = part end
  return parts
end

local function scope_of(text)
  local known, globs = pcall(cjson.decode, text)
  local found = {}
  if not known or type(globs) ~= 'table' then return found end
  for _, glob in ipairs(globs) do
    if type(glob) == 'string' then found[#found + 1] = segments(glob) end
  end
  return found
end

local function meet(a, b)
  local wild_a, wild_b = string.find(a, '[*?[]'), string.find(b, '[*?[]')
  if not wild_a and not wild_b then return a == b end
  local head_a, head_b = string.sub(a, 1, (wild_a or #a + 1) - 1), string.sub(b, 1, (wild_b or #b + 1) - 1)
  if not wild_a and #head_b > #a or not wild_b and #head_a > #b then return false end
  local shared = math.min(#head_a, #head_b)
  if string.sub(head_a, 1, shared) ~= string.sub(head_b, 1, shared) then return false end
  local tail_a, tail_b = string.match(a, '[^]*?]*$'), string.match(b, '[^]*?]*$')
  shared = math.min(#tail_a, #tail_b)
  return shared == 0 or string.sub(tail_a, -shared) == string.sub(tail_b, -shared)
end

local function overlap(a, b)
  local known = {}
  local function at(i, j)
    if i > #a or j > #b then return true end -- a path that is taken in takes in all below it
    local key = i * 1000 + j
    if known[key] == nil then
      if a[i] == '**' or b[j] == '**' then
        known[key] = at(i + 1, j) or at(i, j + 1)
      else
        known[key] = meet(a[i], b[j]) and at(i + 1, j + 1)
      end
    end
    return known[key]
  end
  return at(1, 1)
end

-- A record that somebody deleted or changed by hand must not keep a scope for ever.
local function in_force(K, other)
  local state = redis.pcall('HGET', K.tasks .. other.id, 'state')
  local over = type(state) ~= 'string' or state == 'done' or state == 'dead' or state == 'cancelled' or state == 'blocked'
  if over then redis.call('HDEL', K.scopes, other.id) end
  return not over
end

local taken
local function in_the_way(K, id, paths, reserved)
  if not taken then
    taken = {}
    local all = redis.call('HGETALL', K.scopes)
    for i = 1, #all, 2 do
      taken[#taken + 1] = { id = all[i], kept = string.sub(all[i + 1], 1, 1) == '?', scope = scope_of(string.sub(all[i + 1], 2)) }
    end
  end
  local mine = scope_of(paths)
  for _, other in ipairs(taken) do
    for _, theirs in ipairs(other.id ~= id and not (reserved and other.kept) and other.scope or {}) do
      for _, own in ipairs(mine) do
        if overlap(own, theirs) and in_force(K, other) then return other.id end
      end
    end
  end
  return nil
end
