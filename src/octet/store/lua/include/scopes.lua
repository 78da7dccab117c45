-- in_the_way(K, id, paths, reserved): a task whose declared scope may overlap these globs (a JSON
-- array), nil for none. What counts is every task in flight, from its claim until it is merged,
-- given back or dead; and every task that was passed over so often that its scope is kept for it,
-- unless this is such a task itself (two of them would wait for each other). K.scopes: HASH id →
-- '+' (in flight) or '?' (kept) and the globs, compared by globs.lua.
local function scope_of(text)
  local known, globs = pcall(cjson.decode, text)
  local found = {}
  if not known or type(globs) ~= 'table' then return found end
  for _, glob in ipairs(globs) do
    if type(glob) == 'string' then found[#found + 1] = segments(glob) end
  end
  return found
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
