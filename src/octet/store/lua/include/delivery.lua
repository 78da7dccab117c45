-- delivery_of(text): the record of the delivery of a message, an empty table for one that was
-- spoiled by hand; its agent is a text.
local function delivery_of(text)
  local ok, record = pcall(cjson.decode, text)
  record = ok and type(record) == 'table' and record or {}
  if type(record.agent) ~= 'string' then record.agent = '' end
  return record
end
