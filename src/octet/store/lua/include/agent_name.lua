-- name_for(): the name of the agent that asks for registration, how it comes to it ('known' |
-- 'back' | 'new'), and its role. registered(agent): whether an agent of that name is, apart from
-- the one that is replaced.
-- KEYS incarnations HASH · processes HASH · expiry* STRING · session(session) STRING ·
--   agent_seq HASH
-- ARGV name · role · process · memory_ms · replaced
-- include: retire
local function registered(agent)
  return agent and agent ~= A.replaced and redis.call('HEXISTS', K.incarnations, agent) == 1
end

local function next_name()
  local name
  repeat
    local n = redis.call('HINCRBY', K.agent_seq, A.role, 1)
    name = A.role .. '-' .. string.format('%.0f', n)
  until not registered(name)
  return name
end

local function role_in(name) return type(name) == 'string' and string.match(name, '^(.*)%-%d+$') end

-- The process goes on though its agent expired: its lease had run out while its machine slept. It
-- may give no role, having joined by a command.
local function expired_name()
  local text = A.process ~= '' and redis.pcall('GET', K.expiry .. A.process)
  local known, before = pcall(cjson.decode, type(text) == 'string' and text or '')
  local agent = known and type(before) == 'table' and before.agent
  local role = role_in(agent)
  local same = role and (A.role == 'guest' or A.role == role) and agent ~= A.replaced
  if same and not registered(agent) then return agent, role end
  return nil
end

local function name_for()
  local same = A.process ~= '' and redis.call('HGET', K.processes, A.process)
  if registered(same) then return same, 'known', A.role end
  if A.name ~= '' then
    -- A name without a process (a script, a person) belongs to any caller that gives it; one with a
    -- process belongs to that process only.
    local free = A.process == '' and registered(A.name) and (record_of(A.name).process or '') == ''
    return A.name, free and 'known' or 'new', A.role
  end
  local was, role = expired_name()
  if was then return was, 'back', role end
  local before = A.memory_ms ~= '0' and redis.pcall('GET', K.session)
  local returns = role_in(before) == A.role and before ~= A.replaced
  if returns and not registered(before) then return before, 'back', A.role end
  return next_name(), 'new', A.role
end
