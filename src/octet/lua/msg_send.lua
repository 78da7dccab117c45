-- msg_send.lua: store a message in an inbox; it is there before the sender has its answer.
-- KEYS[1] inbox:<agent or role> STREAM · KEYS[2] log STREAM
-- ARGV[1] channel prefix · ARGV[2] to · ARGV[3] from · ARGV[4] text
-- Returns {OK, id} · {SPOILED, key}.
-- include: clock
-- include: expect
-- include: emit
-- include: post
local spoiled = expect('XLEN', KEYS[1], KEYS[2])
if spoiled then return spoiled end
return { 'OK', post(KEYS[2], ARGV[1], KEYS[1], ARGV[2], ARGV[3], ARGV[4]) }
