-- end_claim(K, id, agent): the agent holds the task no more, and the locks that it took for it are
-- free. expect_claim(K, agent, from, to): nil, or the refusal to return because a key that this
-- writes, or a state's index, is spoiled.
local function expect_claim(K, agent, from, to)
  return expect('SCARD', K.claims .. agent, K.all_locks .. agent) or expect('ZCARD', K.states .. from, K.states .. to)
end

local function end_claim(K, id, agent)
  redis.call('SREM', K.claims .. agent, id)
  K.agent_locks = K.all_locks .. agent
  free_locks(K, agent, function(lock) return lock.scope == 'task' and lock.task == id end)
end
