-- usage/add.lua: what an agent's transcript says it has used since it was last read, added to the
-- sums of agent, tasks and day; once, even if several processes read it. A budget that is reached
-- is noted with its limit, and an event tells it once for that limit.
-- KEYS cost_read(transcript) STRING · cost_agents HASH · cost_tasks HASH · cost_days HASH ·
--   cost_budgets HASH · log STREAM
-- ARGV before: how far it was read, '' for not yet · after: how far now · memory_ms: how long that
--   is kept · agent · day_limit: tokens, 0 for no limit · task_limit: tokens, 0 for no limit ·
--   sums…: task ('' for none), input, output, cache writes, cache reads, messages; the same of the
--   next task
-- Returns {OK, day} · {STALE} when another process read it meanwhile · {SPOILED, key}.
-- include: expect
-- include: emit
-- include: utc_date
local function add(sums, field, first)
  local known, found, total = {}, redis.call('HGET', sums, field) or '', 0
  for text in string.gmatch(found, '%S+') do known[#known + 1] = math.max(0, number(text, 0)) end
  for i = 1, 5 do
    local sum = math.min(2 ^ 53, (known[i] or 0) + number(A.sums[first + i], 0))
    known[i], total = string.format('%.0f', sum), total + (i < 5 and sum or 0)
  end
  redis.call('HSET', sums, field, table.concat(known, ' ', 1, 5))
  return total
end

local function check(kind, of, total, limit)
  local field, text = kind .. ':' .. of, string.format('%.0f', limit)
  local noted = redis.call('HGET', K.cost_budgets, field)
  if limit == 0 or total < limit or noted and string.match(noted, '^%d+') == text then return end
  redis.call('HSET', K.cost_budgets, field, text)
  emit('budget_exceeded',
    { budget = kind, of = of, tokens = total, limit = limit, agent = A.agent })
end

local spoiled = expect('HLEN', K.cost_agents, K.cost_tasks, K.cost_days, K.cost_budgets)
  or expect('XLEN', K.log) or expect('STRLEN', K.cost_read)
if spoiled then return spoiled end
if (redis.call('GET', K.cost_read) or '') ~= A.before then return { 'STALE' } end
redis.call('SET', K.cost_read, A.after, 'PX', A.memory_ms)
local day, day_limit, task_limit = today(), tonumber(A.day_limit), tonumber(A.task_limit)
for i = 1, #A.sums, 6 do
  local task = A.sums[i]
  add(K.cost_agents, A.agent, i)
  check('day', day, add(K.cost_days, day, i), day_limit)
  if task ~= '' then check('task', task, add(K.cost_tasks, task, i), task_limit) end
end
return { 'OK', day }
