-- segments(glob): its parts; a bare name is at the top, a bare pattern, as in .gitignore, at any
-- depth. overlap(a, b): whether one path may match both, given by their parts. A path takes in all
-- below it, unless its parts are marked `file`. Two wildcards in one segment are taken to meet
-- where the letters before the first and after the last allow it: an overlap may be reported that
-- does not exist, never the other way round.
local function segments(glob)
  local parts, bare = {}, string.match(glob, '^(.-)/*$')
  if not string.find(bare, '/', 1, true) and string.find(bare, '[*?[]') then parts[1] = '**' end
  for part in string.gmatch(glob, '[^/]+') do parts[#parts + 1] = part end
  return parts
end

local function meet(a, b)
  local wild_a, wild_b = string.find(a, '[*?[]'), string.find(b, '[*?[]')
  if not wild_a and not wild_b then return a == b end
  local head_a = string.sub(a, 1, (wild_a or #a + 1) - 1)
  local head_b = string.sub(b, 1, (wild_b or #b + 1) - 1)
  if not wild_a and #head_b > #a or not wild_b and #head_a > #b then return false end
  local shared = math.min(#head_a, #head_b)
  if string.sub(head_a, 1, shared) ~= string.sub(head_b, 1, shared) then return false end
  local tail_a, tail_b = string.match(a, '[^]*?]*$'), string.match(b, '[^]*?]*$')
  shared = math.min(#tail_a, #tail_b)
  return shared == 0 or string.sub(tail_a, -shared) == string.sub(tail_b, -shared)
end

local function only_stars(parts, from)
  for i = from, #parts do
    if parts[i] ~= '**' then return false end
  end
  return true
end

local function overlap(a, b)
  local known = {}
  local function at(i, j)
    local a_covers = i > #a and (not a.file or only_stars(b, j))
    if a_covers or j > #b and (not b.file or only_stars(a, i)) then return true end
    if i > #a or j > #b then return false end
    local key = i * 10000 + j
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
