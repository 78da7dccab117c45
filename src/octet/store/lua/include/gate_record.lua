-- add_record(id, held, text): keep what a gate found. `text` is a JSON object with at least one
-- field, '' for none; number, gate, holder, judged commit and time are spliced in front of it,
-- because cjson would make its empty lists objects. expect_record(id, text): nil, or the refusal to
-- return because the key that this writes is spoiled.
-- KEYS task* HASH · reviews* HASH
-- include: clock
-- include: expect
local MAX_RECORDS = 100

local function expect_record(id, text)
  return text ~= '' and expect('HLEN', K.reviews .. id) or nil
end

local function add_record(id, held, text)
  if text == '' then return end
  local last = number(redis.call('HGET', K.task .. id, 'records'), 0)
  local n = math.floor(last) % 1e15 + 1
  local head = string.format('{"n":%.0f,"at_ms":%.0f,"gate":%s,"by":%s,"commit":%s,', n, now_ms(),
    cjson.encode(held.stage), cjson.encode(held.holder), cjson.encode(held.commit))
  redis.call('HSET', K.reviews .. id, string.format('%.0f', n), head .. string.sub(text, 2))
  redis.call('HDEL', K.reviews .. id, string.format('%.0f', n - MAX_RECORDS))
  redis.call('HSET', K.task .. id, 'records', string.format('%.0f', n))
end
