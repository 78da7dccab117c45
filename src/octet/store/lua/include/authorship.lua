-- JUDGING: the gates at which an agent may not judge its own work. is_author(task, agent, process):
-- whether the agent wrote the work, or its process did, under the name of another role.
local JUDGING = { review = true, security = true }

local function is_author(task, agent, process)
  return task.author == agent or process ~= '' and task.author_process == process
end
