-- unblock(K, id): the task is done: what waited for it and waits for nothing else any more is
-- queued. A set of dependencies that somebody spoiled by hand unblocks nothing: to start too early
-- is worse than to be looked at.
local function unblock(K, id)
  for _, other in ipairs(redis.call('SMEMBERS', K.before .. id)) do
    redis.pcall('SREM', K.after .. other, id)
    local task = facts_of(K.tasks .. other)
    if task and task.state == 'blocked' and redis.pcall('SCARD', K.after .. other) == 0 then
      move(K, other, 'blocked', 'pending')
      to_work(K, other, task.work, task.needs, task.priority, task.order)
      redis.call('HSET', K.tasks .. other, 'state', 'pending', 'updated_ms', now_ms())
      emit(K.log, K.channels, 'task_unblocked', { task = other, title = task.title, by = id })
    end
  end
  redis.call('DEL', K.before .. id)
end
