-- new_task(task, id, order, fields): write the record of a pending task; fields is a flat array, later ones win.
local function new_task(task, id, order, fields)
  local now = now_ms()
  redis.call('HSET', task, 'id', id, 'state', 'pending', 'stage', 'build', 'priority', 0, 'order', order,
    'attempts', 0, 'max_attempts', 3, 'progress', 0, 'created_ms', now, 'updated_ms', now, unpack(fields))
end
