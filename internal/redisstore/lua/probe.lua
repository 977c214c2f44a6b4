-- Reports that scripts run, the time, and whether the server accepts writes.
-- KEYS  a key that never exists
-- Answers {now, the error of a write, or ''}.
local now = server_time()
return {num(now), refusal_of(function() redis.call('PEXPIREAT', KEYS[1], 1) end)}
