-- facts_of(task): what a transition must know of a task, nil where there is none; what was spoiled
-- by hand has its default.
-- `gates` is empty until they are decided, at the latest when the work is submitted; what is no
-- gate is none of them, and the last is the merge: nothing may wait where nobody comes.
local GATES = { 'review', 'security', 'test', 'merge' }

local function known_gates(text)
  local known = ''
  for _, gate in ipairs(GATES) do
    local named = string.find(' ' .. text .. ' ', ' ' .. gate .. ' ', 1, true)
    if named or gate == 'merge' and known ~= '' then known = known .. (known == '' and '' or ' ') .. gate end
  end
  return known
end

local function facts_of(task)
  local f = redis.pcall('HMGET', task, 'state', 'token', 'holder', 'title', 'priority', 'order', 'branch', 'author', 'stage', 'work',
    'needs', 'gates', 'commit', 'process', 'author_process')
  if f.err or not f[1] then return nil end
  local work, gates, stage = f[10] or 'build', known_gates(f[12] or ''), f[9] or ''
  if stage ~= work and not (stage ~= '' and string.find(' ' .. gates .. ' ', ' ' .. stage .. ' ', 1, true)) then
    stage = f[1] == 'claimed' and work or 'merge'
  end
  return { state = f[1], token = f[2], holder = f[3] or '', title = f[4] or '', priority = number(f[5], 0), order = number(f[6], 0),
    branch = f[7] or '', author = f[8] or '', stage = stage, work = work, needs = f[11] or '', gates = gates,
    commit = f[13] or '', process = f[14] or '', author_process = f[15] or '' }
end
