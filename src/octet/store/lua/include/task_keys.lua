-- The keys of a script that moves a task, in the order in which `Tasks` passes them; ends the
-- script where one is spoiled.
-- KEYS[1] tasks:status: prefix · KEYS[2] tasks:priority ZSET · KEYS[3] tasks:stage: prefix ·
--   KEYS[4] tasks:state: prefix
-- KEYS[5] tasks:queues SET · KEYS[6] tasks:scopes HASH · KEYS[7] tasks:after: prefix · KEYS[8]
--   tasks:before: prefix
-- KEYS[9] agents:claims: prefix · KEYS[10] agents:locks: prefix · KEYS[11] locks: prefix · KEYS[12]
--   locks:names ZSET
-- KEYS[13] log STREAM · ARGV[1] channel prefix
local K = {
  tasks = KEYS[1], priority = KEYS[2], stages = KEYS[3], states = KEYS[4], queues = KEYS[5], scopes = KEYS[6], after = KEYS[7],
  before = KEYS[8], claims = KEYS[9], all_locks = KEYS[10], locks = KEYS[11], index = KEYS[12], log = KEYS[13], channels = ARGV[1],
}
local spoiled = expect('ZCARD', K.priority, K.index) or expect('SCARD', K.queues) or expect('HLEN', K.scopes) or expect('XLEN', K.log)
if spoiled then return spoiled end
