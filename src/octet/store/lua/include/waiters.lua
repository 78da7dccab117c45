-- Who waits for locks, in the order of arrival. K: locks prefix, index ZSET. Under the prefix
-- stands `waiting`, a HASH waiter → its place. A waiter blocks on the LIST `turn:<waiter>`; what is
-- pushed there is in how many ms it should try. waiters(K): the living, oldest first. One is dead
-- that was not heard of for long, or did not come when it was called: its process was killed, or
-- stands still; then it finds its place again by its ticket. K.waiter is the one that asks, and
-- lives. call_next(K, freed): call whoever may take one of these now; the next behind it looks
-- after it. leave_queue(K, leaves): those for whom leaves(waiter) wait no more, and whoever stood
-- behind them is called.
local GRACE_MS, SILENT_MS = 250, 15000
local waiters

local function call(K, waiter, after_ms)
  if after_ms == 0 and waiter.called == 0 then
    waiter.called = now_ms()
    keep(K, waiter)
  end
  redis.pcall('RPUSH', K.locks .. 'turn:' .. waiter.id, after_ms)
  redis.pcall('PEXPIRE', K.locks .. 'turn:' .. waiter.id, SILENT_MS)
end

local function first_that_wants(list, resources)
  for _, waiter in ipairs(list) do
    if wants(waiter, resources) then return waiter end
  end
  return nil
end

local function call_next(K, freed)
  local ahead, watched = {}, {}
  local one = #freed == 1 and not is_wide(freed[1]) -- then all that want it are behind the first
  for _, waiter in ipairs(#freed > 0 and waiters(K) or {}) do
    if wants(waiter, freed) then
      local before = first_that_wants(ahead, waiter.wants)
      if not before then call(K, waiter, 0) elseif not watched[before] then call(K, waiter, GRACE_MS + 10) end
      if before then watched[before] = true end
      ahead[#ahead + 1] = waiter
      if one and #ahead == 2 then return end
    end
  end
end

local function leave_queue(K, leaves)
  local left, stay = {}, {}
  for _, waiter in ipairs(waiters(K)) do
    if leaves(waiter) then
      redis.pcall('HDEL', K.locks .. 'waiting', waiter.id)
      redis.call('DEL', K.locks .. 'turn:' .. waiter.id)
      for _, resource in ipairs(waiter.wants) do left[#left + 1] = resource end
    else
      stay[#stay + 1] = waiter
    end
  end
  K.queue = stay
  call_next(K, left)
end

function waiters(K)
  if K.queue then return K.queue end
  local all, now = K.places or redis.pcall('HGETALL', K.locks .. 'waiting'), now_ms()
  K.queue = {}
  for i = 1, #all, 2 do K.queue[#K.queue + 1] = as_waiter(all[i], all[i + 1]) end
  table.sort(K.queue, function(a, b) return a.ticket < b.ticket end)
  leave_queue(K, function(w)
    return w.id ~= K.waiter and (w.seen + SILENT_MS < now or w.called > 0 and w.called + GRACE_MS < now)
  end)
  return K.queue
end
