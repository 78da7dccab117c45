-- gift_of(text): the record of who was given a message, an empty table for one that was spoiled by
-- hand; its agent is a text.
local function gift_of(text)
  local ok, record = pcall(cjson.decode, text)
  record = ok and type(record) == 'table' and record or {}
  if type(record.agent) ~= 'string' then record.agent = '' end
  return record
end
