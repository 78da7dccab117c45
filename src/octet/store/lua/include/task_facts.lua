-- facts_of(key): the facts of a task that a transition needs, nil where there is no task; a field
-- that was spoiled by hand has its default. WORKING: the states in which a task has a holder.
-- `gates` is empty until they are decided, at the latest when the work is submitted. A name that is
-- no gate is dropped, and the last gate is the merge: no task may wait where no agent comes.
-- include: expect
local WORKING = { claimed = true, ['in-review'] = true, testing = true, merging = true }
local GATES = { 'review', 'security', 'test', 'merge' }

local function known_gates(text)
  local known = ''
  for _, gate in ipairs(GATES) do
    local named = string.find(' ' .. text .. ' ', ' ' .. gate .. ' ', 1, true)
    if named or gate == 'merge' and known ~= '' then
      known = known .. (known == '' and '' or ' ') .. gate
    end
  end
  return known
end

local function facts_of(key)
  local f = redis.pcall('HMGET', key, 'state', 'token', 'holder', 'title', 'priority', 'order',
    'branch', 'author', 'stage', 'work', 'needs', 'gates', 'commit', 'process', 'author_process')
  if f.err or not f[1] then return nil end
  local work, gates, stage = f[10] or 'build', known_gates(f[12] or ''), f[9] or ''
  local at_gate = stage ~= '' and string.find(' ' .. gates .. ' ', ' ' .. stage .. ' ', 1, true)
  if stage ~= work and not at_gate then stage = f[1] == 'claimed' and work or 'merge' end
  return {
    state = f[1], token = f[2], holder = f[3] or '', title = f[4] or '',
    priority = number(f[5], 0), order = number(f[6], 0), branch = f[7] or '',
    author = f[8] or '', stage = stage, work = work, needs = f[11] or '', gates = gates,
    commit = f[13] or '', process = f[14] or '', author_process = f[15] or '',
  }
end
