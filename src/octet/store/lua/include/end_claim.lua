-- end_claim(id, agent): the agent no longer holds the task, and the locks that it took for it are
-- free. expect_claim(agent, from, to): nil, or the refusal to return because a key that this
-- writes, or a state's index, is spoiled.
-- KEYS claims* SET · agent_locks* SET · locks_index ZSET · state* ZSET
-- include: expect
-- include: free_locks
local function expect_claim(agent, from, to)
  return expect('SCARD', K.claims .. agent, K.agent_locks .. agent)
    or expect('ZCARD', K.locks_index, K.state .. from, K.state .. to)
end

local function end_claim(id, agent)
  redis.call('SREM', K.claims .. agent, id)
  free_locks(K.agent_locks .. agent, agent,
    function(lock) return lock.scope == 'task' and lock.task == id end)
end
