-- Ends the script where a key that moving a task writes is spoiled. `spoiled` is nil afterwards,
-- for the script's own checks.
-- KEYS priority ZSET · queues SET · scopes HASH · log STREAM
-- include: expect
local spoiled = expect('ZCARD', K.priority) or expect('SCARD', K.queues)
  or expect('HLEN', K.scopes) or expect('XLEN', K.log)
if spoiled then return spoiled end
