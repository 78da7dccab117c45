-- JUDGING: the gates where nobody judges what is its own. is_author(task, agent, process): whether
-- the agent wrote the work; also one whose process did, under the name of another role.
local JUDGING = { review = true, security = true }

local function is_author(task, agent, process)
  return task.author == agent or process ~= '' and task.author_process == process
end
