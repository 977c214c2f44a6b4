-- Reads the catalog; writes nothing.
-- KEYS  names
-- Answers {now, the whole sorted set}.
return {num(clock()), redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
