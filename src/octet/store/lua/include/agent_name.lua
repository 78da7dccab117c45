-- name_for(K, ask): the name of the agent that asks for registration, how it comes to it ('known' |
-- 'back' | 'new'), and its role. registered(K, ask, agent): whether one of that name is, apart from
-- the one that is replaced. ask: wanted, role, process ('' for none), session (its key, or false),
-- seq (key), replaced. K: as in agent_keys.lua.
local function registered(K, ask, agent) return agent and agent ~= ask.replaced and redis.call('HEXISTS', K.incarnations, agent) == 1 end

local function next_name(K, ask)
  local name
  repeat name = ask.role .. '-' .. string.format('%.0f', redis.call('HINCRBY', ask.seq, ask.role, 1)) until not registered(K, ask, name)
  return name
end

local function role_in(name) return type(name) == 'string' and string.match(name, '^(.*)%-%d+$') end

-- The process goes on though it was buried: its lease had run out while its machine slept. It may
-- say no role, having joined by a command.
local function returning(K, ask)
  local text = ask.process ~= '' and redis.pcall('GET', K.buried .. ask.process)
  local known, before = pcall(cjson.decode, type(text) == 'string' and text or '')
  local agent = known and type(before) == 'table' and before.agent
  local role = role_in(agent)
  local same = role and (ask.role == 'guest' or ask.role == role) and agent ~= ask.replaced
  if same and not registered(K, ask, agent) then return agent, role end
  return nil
end

local function name_for(K, ask)
  local same = ask.process ~= '' and redis.call('HGET', K.processes, ask.process)
  if registered(K, ask, same) then return same, 'known', ask.role end
  if ask.wanted ~= '' then
    -- A name without a process (a script, a person) is whoever says it; one with a process is that
    -- process only.
    local free = ask.process == '' and registered(K, ask, ask.wanted) and (record_of(K, ask.wanted).process or '') == ''
    return ask.wanted, free and 'known' or 'new', ask.role
  end
  local was, role = returning(K, ask)
  if was then return was, 'back', role end
  local before = ask.session and redis.pcall('GET', ask.session)
  local returns = role_in(before) == ask.role and before ~= ask.replaced
  if returns and not registered(K, ask, before) then return before, 'back', ask.role end
  return next_name(K, ask), 'new', ask.role
end
