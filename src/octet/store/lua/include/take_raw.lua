-- add_raw(K, title, priority, description, raw): a task that somebody queued with plain Redis
-- commands; returns its id. take_raw(K, most): turn up to `most` values that were LPUSHed on the
-- plain list into tasks, oldest first. A value is a title, or a JSON object with title, description
-- and priority. K: pending LIST, seq STRING, tasks prefix, priority ZSET, log, channels.
local function add_raw(K, title, priority, description, raw)
  title = brief(title)
  if not string.find(title, '%S') then title = '(no title)' end
  priority = tonumber(priority) or 0
  if priority ~= priority then priority = 0 end
  priority = math.floor(math.max(-1000, math.min(1000, priority)) * 1000 + 0.5) / 1000
  local id, order = next_id(K.seq, K.tasks)
  new_task(K.tasks .. id, id, order, { 'title', title, 'priority', priority, 'description', string.sub(description, 1, 65536),
    'created_by', 'redis-cli', 'raw', string.sub(raw, 1, 65536) })
  put(K, K.priority, 'build', id, priority, order)
  emit(K.log, K.channels, 'task_added', { task = id, title = title, priority = priority })
  return id
end

local function take_raw(K, most)
  for _ = 1, most do
    local value = redis.call('LINDEX', K.pending, -1)
    if not value then return end
    local parsed, given = pcall(cjson.decode, value)
    if parsed and type(given) == 'table' and type(given.title) == 'string' then
      add_raw(K, given.title, given.priority, type(given.description) == 'string' and given.description or '', value)
    else
      add_raw(K, value, 0, '', value)
    end
    redis.call('RPOP', K.pending) -- only now: whatever had stopped us before, the value would still be there
  end
end
