-- Shows that scripts run, what time it is, and whether the server accepts writes.
-- KEYS  a key that never exists
-- Answers {now, what the server said to a write, or ''}.
local now = server_time()
return {num(now), refusal_of(function() redis.call('PEXPIREAT', KEYS[1], 1) end)}
