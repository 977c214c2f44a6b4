-- Shows at start that scripts run, that the server may be written to, and what time it is.
-- KEYS  a key that never exists
-- Answers {now}.
redis.call('PEXPIREAT', KEYS[1], 1)
return {num(clock())}
