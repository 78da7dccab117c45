-- in_the_way(id, paths, reserved): a task whose declared scope may overlap these globs (a JSON
-- array), nil for none. Every task in flight counts, from its claim until it is merged, requeued or
-- dead; and every task that was passed over so often that its scope is kept for it, unless this is
-- such a task itself (two of them would wait for each other). The HASH `scopes` has, by id, '+' (in
-- flight) or '?' (kept) and the globs.
-- KEYS task* HASH · scopes HASH
-- include: globs
local taken

local function scope_of(text)
  local known, globs = pcall(cjson.decode, text)
  local found = {}
  if not known or type(globs) ~= 'table' then return found end
  for _, glob in ipairs(globs) do
    if type(glob) == 'string' then found[#found + 1] = segments(glob) end
  end
  return found
end

local function taken_scopes()
  local found, all = {}, redis.call('HGETALL', K.scopes)
  for i = 1, #all, 2 do
    local kept, globs = string.sub(all[i + 1], 1, 1) == '?', string.sub(all[i + 1], 2)
    found[#found + 1] = { id = all[i], kept = kept, scope = scope_of(globs) }
  end
  return found
end

-- A record that was deleted or changed by hand must not keep a scope for ever.
local OVER = { done = true, dead = true, cancelled = true, blocked = true }
local function in_force(other)
  local state = redis.pcall('HGET', K.task .. other.id, 'state')
  local over = type(state) ~= 'string' or OVER[state]
  if over then redis.call('HDEL', K.scopes, other.id) end
  return not over
end

local function in_the_way(id, paths, reserved)
  taken = taken or taken_scopes()
  local mine = scope_of(paths)
  for _, other in ipairs(taken) do
    local counts = other.id ~= id and not (reserved and other.kept)
    for _, theirs in ipairs(counts and other.scope or {}) do
      for _, own in ipairs(mine) do
        if overlap(own, theirs) and in_force(other) then return other.id end
      end
    end
  end
  return nil
end
