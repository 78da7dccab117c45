-- add_record(K, reviews, id, held, text): keep what a gate found. `text` is a JSON object with at
-- least one field, '' for none; number, gate, holder, judged commit and time are spliced in front
-- of it, because cjson would make its empty lists objects. expect_record(reviews, id, text): nil,
-- or the refusal to return because the key that this writes is spoiled. reviews: HASH number →
-- record. The last 100 of a task stay.
local MOST_RECORDS = 100

local function expect_record(reviews, id, text) return text ~= '' and expect('HLEN', reviews .. id) or nil end

local function add_record(K, reviews, id, held, text)
  if text == '' then return end
  local n = math.floor(number(redis.call('HGET', K.tasks .. id, 'records'), 0)) % 1e15 + 1
  local head = string.format('{"n":%.0f,"at_ms":%.0f,"gate":%s,"by":%s,"commit":%s,', n, now_ms(), cjson.encode(held.stage),
    cjson.encode(held.holder), cjson.encode(held.commit))
  redis.call('HSET', reviews .. id, string.format('%.0f', n), head .. string.sub(text, 2))
  redis.call('HDEL', reviews .. id, string.format('%.0f', n - MOST_RECORDS))
  redis.call('HSET', K.tasks .. id, 'records', string.format('%.0f', n))
end
