-- unblock(id): the task is done: a task that waited for it and for nothing else is queued. A set of
-- dependencies that was spoiled by hand unblocks nothing: to start too early is worse than to wait
-- for a person.
-- KEYS task* HASH · after* SET · before* SET
-- include: clock
-- include: emit
-- include: task_queues
-- include: task_facts
local function unblock(id)
  for _, other in ipairs(redis.call('SMEMBERS', K.before .. id)) do
    redis.pcall('SREM', K.after .. other, id)
    local task = facts_of(K.task .. other)
    local open = task and task.state == 'blocked' and redis.pcall('SCARD', K.after .. other)
    if open == 0 then
      move(other, 'blocked', 'pending')
      queue_work(other, task.work, task.needs, task.priority, task.order)
      redis.call('HSET', K.task .. other, 'state', 'pending', 'updated_ms', now_ms())
      emit('task_unblocked', { task = other, title = task.title, by = id })
    end
  end
  redis.call('DEL', K.before .. id)
end
