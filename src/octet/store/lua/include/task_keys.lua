-- The keys of a script that moves a task, in the order in which `Tasks` passes them; ends the
-- script where one is spoiled.
-- KEYS task* HASH · priority ZSET · stage* ZSET · state* ZSET · queues SET · scopes HASH · after*
--   SET · before* SET · claims* SET · agent_locks* SET · lock* STRING · locks_index ZSET · log
--   STREAM · channel* PUBSUB
local K = {
  tasks = KEYS[1], priority = KEYS[2], stages = KEYS[3], states = KEYS[4], queues = KEYS[5], scopes = KEYS[6], after = KEYS[7],
  before = KEYS[8], claims = KEYS[9], all_locks = KEYS[10], locks = KEYS[11], index = KEYS[12], log = KEYS[13], channels = ARGV[1],
}
local spoiled = expect('ZCARD', K.priority, K.index) or expect('SCARD', K.queues) or expect('HLEN', K.scopes) or expect('XLEN', K.log)
if spoiled then return spoiled end
