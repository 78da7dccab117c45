-- new_task(key, id, order, fields): write the record of a pending task; `fields` is a flat array,
-- later ones win. next_id(): the next number that no task bears, as an id and as a number.
-- KEYS task* HASH · task_seq STRING
-- include: clock
local function new_task(key, id, order, fields)
  local now = now_ms()
  redis.call('HSET', key, 'id', id, 'state', 'pending', 'stage', 'build', 'priority', 0,
    'order', order, 'attempts', 0, 'max_attempts', 3, 'progress', 0, 'created_ms', now,
    'updated_ms', now, unpack(fields))
end

local function next_id()
  local order, id
  repeat
    order = redis.call('INCR', K.task_seq)
    id = string.format('%.0f', order)
  until redis.call('EXISTS', K.task .. id) == 0
  return id, order
end
