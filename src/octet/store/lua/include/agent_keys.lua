-- The keys that retire() needs, in the order in which `Agents` passes them, from KEYS[1] on; ends
-- the script where one is spoiled.
-- KEYS[1] agents:registry HASH · KEYS[2] agents:incarnations HASH · KEYS[3] agents:processes HASH ·
--   KEYS[4] heartbeat: prefix
-- KEYS[5] agents:claims: prefix · KEYS[6] agents:locks: prefix · KEYS[7] locks: prefix · KEYS[8]
--   locks:names ZSET
-- KEYS[9] tasks:status: prefix · KEYS[10] tasks:priority ZSET · KEYS[11] tasks:stage: prefix ·
--   KEYS[12] tasks:state: prefix
-- KEYS[13] log STREAM · KEYS[14] tasks:queues SET · KEYS[15] tasks:scopes HASH · KEYS[16]
--   agents:buried: prefix
-- KEYS[17] orchestrator HASH · KEYS[18] orchestrator:candidates ZSET · KEYS[19] token STRING ·
--   KEYS[20] inbox: prefix
-- ARGV[1] channel prefix
local K = {
  registry = KEYS[1], incarnations = KEYS[2], processes = KEYS[3], heartbeats = KEYS[4], claims = KEYS[5], all_locks = KEYS[6],
  locks = KEYS[7], index = KEYS[8], tasks = KEYS[9], priority = KEYS[10], stages = KEYS[11], states = KEYS[12], log = KEYS[13],
  queues = KEYS[14], scopes = KEYS[15], buried = KEYS[16], leader = KEYS[17], candidates = KEYS[18], token = KEYS[19],
  inboxes = KEYS[20], channels = ARGV[1],
}
local spoiled = expect('HLEN', K.registry, K.incarnations, K.processes, K.leader) or expect('ZCARD', K.index, K.candidates)
  or expect('XLEN', K.log) or expect_number(K.token) or expect_queues(K)
if spoiled then return spoiled end
