-- The keys that retire() needs, in the order in which `Agents` passes them, from KEYS[1] on; ends
-- the script where one is spoiled.
-- KEYS registry HASH · incarnations HASH · processes HASH · heartbeat* STRING · claims* SET ·
--   agent_locks* SET · lock* STRING · locks_index ZSET · task* HASH · priority ZSET · stage* ZSET ·
--   state* ZSET · log STREAM · queues SET · scopes HASH · expiry* STRING · orchestrator HASH ·
--   candidates ZSET · token STRING · inbox* STREAM · channel* PUBSUB
local K = {
  registry = KEYS[1], incarnations = KEYS[2], processes = KEYS[3], heartbeats = KEYS[4], claims = KEYS[5], all_locks = KEYS[6],
  locks = KEYS[7], index = KEYS[8], tasks = KEYS[9], priority = KEYS[10], stages = KEYS[11], states = KEYS[12], log = KEYS[13],
  queues = KEYS[14], scopes = KEYS[15], buried = KEYS[16], leader = KEYS[17], candidates = KEYS[18], token = KEYS[19],
  inboxes = KEYS[20], channels = ARGV[1],
}
local spoiled = expect('HLEN', K.registry, K.incarnations, K.processes, K.leader) or expect('ZCARD', K.index, K.candidates)
  or expect('XLEN', K.log) or expect_number(K.token) or expect_queues(K)
if spoiled then return spoiled end
