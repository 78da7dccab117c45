-- Ends the script where a key that retire() writes is spoiled. `spoiled` is nil afterwards, for the
-- script's own checks.
-- KEYS registry HASH · incarnations HASH · processes HASH · orchestrator HASH · locks_index ZSET ·
--   candidates ZSET · log STREAM · token STRING
-- include: expect
-- include: requeue
local spoiled = expect('HLEN', K.registry, K.incarnations, K.processes, K.orchestrator)
  or expect('ZCARD', K.locks_index, K.candidates) or expect('XLEN', K.log)
  or expect_number(K.token) or expect_queues()
if spoiled then return spoiled end
