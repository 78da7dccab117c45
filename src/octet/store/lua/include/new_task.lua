-- new_task(task, id, order, fields): write the record of a pending task; fields is a flat array,
-- later ones win. next_id(seq, tasks): the next number that no task bears, as an id and as a
-- number. seq STRING, tasks prefix.
local function new_task(task, id, order, fields)
  local now = now_ms()
  redis.call('HSET', task, 'id', id, 'state', 'pending', 'stage', 'build', 'priority', 0, 'order', order,
    'attempts', 0, 'max_attempts', 3, 'progress', 0, 'created_ms', now, 'updated_ms', now, unpack(fields))
end

local function next_id(seq, tasks)
  local order, id
  repeat
    order = redis.call('INCR', seq)
    id = string.format('%.0f', order)
  until redis.call('EXISTS', tasks .. id) == 0
  return id, order
end
