-- Reads a service; writes nothing.
-- KEYS  base:h base:z
-- ARGV  rev that the reader knows, or ''
-- Answers {now, rev, kind, earliest expiry of a live member or '', expired ids, ...}, kind being
--   none   nothing is stored
--   same   nothing changed
--   delta  then a list, per id that changed: id, record or '', overlay or '', expiry or '', tombstone or ''
--   full   then the whole hash and the whole sorted set
local h, z, known = KEYS[1], KEYS[2], ARGV[1]
local now = clock()
local rev = redis.call('HGET', h, 'rev')
if not rev or not redis.call('ZSCORE', z, '') then return {num(now), '', 'none', '', {}} end
local dead = redis.call('ZRANGEBYSCORE', z, '0', '(' .. num(now))
local nearest = redis.call('ZRANGEBYSCORE', z, num(now), '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or ''
if known == rev then return {num(now), rev, 'same', nearest, dead} end
local log = known ~= '' and redis.call('HGET', h, 'log') or ''
if string.sub(log, 1, #rev + 1) == rev .. ' ' then -- it leads up to the revision
  local items, seen = {}, {}
  for entry, id in string.gmatch(log, '([^ ]+) ([^\n]+)\n') do
    if entry == known then return {num(now), rev, 'delta', nearest, dead, items} end
    if not seen[id] then
      seen[id] = true
      local v = redis.call('HMGET', h, '+' .. id, '~' .. id, '-' .. id)
      items[#items + 1] = id
      items[#items + 1] = v[1] or ''
      items[#items + 1] = v[2] or ''
      items[#items + 1] = redis.call('ZSCORE', z, id) or ''
      items[#items + 1] = v[3] or ''
    end
  end
end
return {num(now), rev, 'full', nearest, dead, redis.call('HGETALL', h), redis.call('ZRANGE', z, 0, -1, 'WITHSCORES')}
