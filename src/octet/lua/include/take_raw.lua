-- take_raw(K, most): turn up to `most` values that somebody LPUSHed on the plain list into tasks, oldest first.
-- A value is a title, or a JSON object with title, description and priority. K: pending LIST, seq, tasks prefix, priority ZSET, log, channels.
local function raw_fields(value)
  local parsed, given = pcall(cjson.decode, value)
  if not parsed or type(given) ~= 'table' or type(given.title) ~= 'string' then return string.sub(value, 1, 500), 0, '' end
  local priority = type(given.priority) == 'number' and given.priority == given.priority and given.priority or 0
  priority = math.max(-1000, math.min(1000, priority))
  return string.sub(given.title, 1, 500), priority, type(given.description) == 'string' and given.description or ''
end

local function take_raw(K, most)
  for _ = 1, most do
    local value = redis.call('RPOP', K.pending)
    if not value then return end
    local title, priority, description = raw_fields(value)
    local order = redis.call('INCR', K.seq)
    while redis.call('EXISTS', K.tasks .. order) == 1 do order = redis.call('INCR', K.seq) end
    local id = tostring(order)
    new_task(K.tasks .. id, id, order,
      { 'title', title, 'priority', priority, 'description', description, 'created_by', 'redis-cli', 'raw', value })
    enqueue(K.priority, id, priority, order)
    emit(K.log, K.channels, 'task_added', { task = id, title = title, priority = priority })
  end
end
