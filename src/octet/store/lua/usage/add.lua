-- usage/add.lua: what an agent's transcript says it has used since it was last read, added to the
-- sums of agent, tasks and day; once, whoever reads it. A budget that is reached is noted with its
-- limit, and said once for that limit.
-- KEYS cost_read(transcript) STRING · cost_agents HASH · cost_tasks HASH · cost_days HASH ·
--   cost_budgets HASH · log STREAM · channel* PUBSUB
-- ARGV before: how far it was read, '' for not yet · after: how far now · memory_ms: how long that
--   is kept · agent · day_limit: tokens, 0 for no limit · task_limit: tokens, 0 for no limit ·
--   sums…: task ('' for none), input, output, cache writes, cache reads, messages; the same of the
--   next task
-- Returns {OK, day} · {STALE} when it was read by somebody else meanwhile · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: today
local read, budgets, log = KEYS[1], KEYS[5], KEYS[6]

local function add(sums, field, first)
  local known, found, total = {}, redis.call('HGET', sums, field) or '', 0
  for text in string.gmatch(found, '%S+') do known[#known + 1] = math.max(0, number(text, 0)) end
  for i = 1, 5 do
    local sum = math.min(2 ^ 53, (known[i] or 0) + number(ARGV[first + i], 0))
    known[i], total = string.format('%.0f', sum), total + (i < 5 and sum or 0)
  end
  redis.call('HSET', sums, field, table.concat(known, ' ', 1, 5))
  return total
end

local function check(kind, of, total, limit)
  local field = kind .. ':' .. of
  local noted = redis.call('HGET', budgets, field)
  if limit == 0 or total < limit or noted and string.match(noted, '^%d+') == string.format('%.0f', limit) then return end
  redis.call('HSET', budgets, field, string.format('%.0f', limit))
  emit(log, ARGV[1], 'budget_exceeded', { budget = kind, of = of, tokens = total, limit = limit, agent = ARGV[5] })
end

local spoiled = expect('HLEN', KEYS[2], KEYS[3], KEYS[4], budgets) or expect('XLEN', log) or expect('STRLEN', read)
if spoiled then return spoiled end
if (redis.call('GET', read) or '') ~= ARGV[2] then return { 'STALE' } end
redis.call('SET', read, ARGV[3], 'PX', ARGV[4])
local day = today()
for i = 8, #ARGV, 6 do
  add(KEYS[2], ARGV[5], i)
  check('day', day, add(KEYS[4], day, i), tonumber(ARGV[6]))
  if ARGV[i] ~= '' then check('task', ARGV[i], add(KEYS[3], ARGV[i], i), tonumber(ARGV[7])) end
end
return { 'OK', day }
