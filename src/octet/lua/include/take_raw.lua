-- add_raw(K, title, priority, description, raw): a task that somebody queued with plain Redis commands.
-- take_raw(K, most): turn up to `most` values that were LPUSHed on the plain list into tasks, oldest first.
-- A value is a title, or a JSON object with title, description and priority.
-- K: pending LIST, seq STRING, tasks prefix, priority ZSET, log, channels.
local function add_raw(K, title, priority, description, raw)
  if priority ~= priority then priority = 0 end
  priority = math.max(-1000, math.min(1000, priority))
  title = string.sub(title, 1, 500)
  local order = redis.call('INCR', K.seq)
  while redis.call('EXISTS', K.tasks .. order) == 1 do order = redis.call('INCR', K.seq) end
  local id = tostring(order)
  new_task(K.tasks .. id, id, order,
    { 'title', title, 'priority', priority, 'description', description, 'created_by', 'redis-cli', 'raw', raw })
  enqueue(K.priority, id, priority, order)
  emit(K.log, K.channels, 'task_added', { task = id, title = title, priority = priority })
end

local function take_raw(K, most)
  for _ = 1, most do
    local value = redis.call('RPOP', K.pending)
    if not value then return end
    local parsed, given = pcall(cjson.decode, value)
    if parsed and type(given) == 'table' and type(given.title) == 'string' and given.title ~= '' then
      add_raw(K, given.title, tonumber(given.priority) or 0, type(given.description) == 'string' and given.description or '', value)
    else
      add_raw(K, value, 0, '', value)
    end
  end
end
