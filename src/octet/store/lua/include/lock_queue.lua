-- The queue of waiters for locks, in order of arrival. A waiter blocks on the LIST
-- locks:turn:<waiter>; what is pushed there is in how many ms it should try.
-- waiters(): the living, oldest first. A waiter is dead that was silent for long or did not come
-- when it was called: its process was killed, or stands still; then it finds its place again by its
-- ticket. `asking`, the waiter that runs the script, lives. call_next(freed): call the waiter that
-- may take one of these now; the next behind it checks after it. leave_queue(leaves): the waiters
-- for which leaves(waiter) wait no more, and those behind them are called.
-- KEYS lock* STRING
-- include: clock
-- include: waiter_record
local GRACE_MS, SILENT_MS = 250, 15000
-- `saved_waiters`: the HASH where a script has read it already.
local waiters, queue, saved_waiters, asking

local function call(waiter, after_ms)
  if after_ms == 0 and waiter.called == 0 then
    waiter.called = now_ms()
    save_waiter(waiter)
  end
  redis.pcall('RPUSH', K.lock .. 'turn:' .. waiter.id, after_ms)
  redis.pcall('PEXPIRE', K.lock .. 'turn:' .. waiter.id, SILENT_MS)
end

local function first_that_wants(list, resources)
  for _, waiter in ipairs(list) do
    if wants(waiter, resources) then return waiter end
  end
  return nil
end

local function call_next(freed)
  local ahead, watched = {}, {}
  local one = #freed == 1 and not is_wide(freed[1]) -- then all that want it are behind the first
  for _, waiter in ipairs(#freed > 0 and waiters() or {}) do
    if wants(waiter, freed) then
      local before = first_that_wants(ahead, waiter.wants)
      if not before then
        call(waiter, 0)
      elseif not watched[before] then
        call(waiter, GRACE_MS + 10)
      end
      if before then watched[before] = true end
      ahead[#ahead + 1] = waiter
      if one and #ahead == 2 then return end
    end
  end
end

local function leave_queue(leaves)
  local left, stay = {}, {}
  for _, waiter in ipairs(waiters()) do
    if leaves(waiter) then
      redis.pcall('HDEL', K.lock .. 'waiting', waiter.id)
      redis.call('DEL', K.lock .. 'turn:' .. waiter.id)
      for _, resource in ipairs(waiter.wants) do left[#left + 1] = resource end
    else
      stay[#stay + 1] = waiter
    end
  end
  queue = stay
  call_next(left)
end

local function is_dead(waiter)
  if waiter.id == asking then return false end
  local now = now_ms()
  return waiter.seen + SILENT_MS < now or waiter.called > 0 and waiter.called + GRACE_MS < now
end

function waiters()
  if queue then return queue end
  local all = saved_waiters or redis.pcall('HGETALL', K.lock .. 'waiting')
  queue = {}
  for i = 1, #all, 2 do queue[#queue + 1] = as_waiter(all[i], all[i + 1]) end
  table.sort(queue, function(a, b) return a.ticket < b.ticket end)
  leave_queue(is_dead)
  return queue
end
