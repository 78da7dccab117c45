-- msg_send.lua: store a message in an inbox; it is there before the sender has its answer.
-- KEYS[1] inbox:<agent or role> STREAM · KEYS[2] log STREAM
-- ARGV[1] channel prefix · ARGV[2] to · ARGV[3] from · ARGV[4] text
-- Returns {OK, id} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
local spoiled = expect('XLEN', KEYS[1], KEYS[2])
if spoiled then return spoiled end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'from', ARGV[3], 'to', ARGV[2], 'text', ARGV[4], 'sent_ms', now_ms())
emit(KEYS[2], ARGV[1], 'message_sent', { to = ARGV[2], from = ARGV[3], message = id })
return { 'OK', id }
