-- add_raw(title, priority, description, raw): a task that was queued with plain Redis commands;
-- returns its id. take_raw(max): turn up to `max` values that were LPUSHed on the plain list into
-- tasks, oldest first. A value is a title, or a JSON object with title, description and priority.
-- KEYS pending LIST · priority ZSET · task* HASH
-- include: emit
-- include: task_queues
-- include: new_task
local MAX_TEXT = 65536

local function add_raw(title, priority, description, raw)
  title = brief(title)
  if not string.find(title, '%S') then title = '(no title)' end
  priority = tonumber(priority) or 0
  if priority ~= priority then priority = 0 end
  priority = math.floor(math.max(-1000, math.min(1000, priority)) * 1000 + 0.5) / 1000
  local id, order = next_id()
  new_task(K.task .. id, id, order, {
    'title', title, 'priority', priority, 'description', string.sub(description, 1, MAX_TEXT),
    'created_by', 'redis-cli', 'raw', string.sub(raw, 1, MAX_TEXT),
  })
  put(K.priority, 'build', id, priority, order)
  emit('task_added', { task = id, title = title, priority = priority })
  return id
end

local function take_raw(max)
  for _ = 1, max do
    local value = redis.call('LINDEX', K.pending, -1)
    if not value then return end
    local parsed, given = pcall(cjson.decode, value)
    if parsed and type(given) == 'table' and type(given.title) == 'string' then
      local description = type(given.description) == 'string' and given.description or ''
      add_raw(given.title, given.priority, description, value)
    else
      add_raw(value, 0, '', value)
    end
    redis.call('RPOP', K.pending) -- only now: an error before this leaves the value there
  end
end
