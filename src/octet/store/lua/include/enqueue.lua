-- enqueue(queue, id, priority, order): put a task in a queue: highest priority first, then oldest.
-- One ordered set carries both: the score is the priority less order * 2^-42. With priorities
-- within +-1000, in thousandths, that holds for 2^32 tasks, and a plain `ZADD queue 100 id` by hand
-- still means priority 100.
local function enqueue(queue, id, priority, order)
  redis.call('ZADD', queue, string.format('%.17g', math.max(-1000, math.min(1000, priority)) - order * 2 ^ -42), id)
end
