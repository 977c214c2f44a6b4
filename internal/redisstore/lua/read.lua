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
local from, to = tonumber(string.match(known, '^%d+')), tonumber(string.match(rev, '^%d+'))
if from and to - from > 0 and to - from < LOG then
  local slots = {}
  for n = from, to do slots[#slots + 1] = '@' .. n % LOG end
  local log = redis.call('HMGET', h, unpack(slots))
  local leads = string.sub(log[1] or '', 1, #known + 1) == known .. ' ' and string.sub(log[#log] or '', 1, #rev + 1) == rev .. ' '
  local items, seen = {}, {}
  for i = #log, 2, -1 do
    local id = log[i] and string.match(log[i], '^' .. num(from + i - 1) .. '%.[^ ]+ (.*)$')
    leads = leads and id
    if leads and not seen[id] then
      seen[id] = true
      local v = redis.call('HMGET', h, '+' .. id, '~' .. id, '-' .. id)
      items[#items + 1] = id
      items[#items + 1] = v[1] or ''
      items[#items + 1] = v[2] or ''
      items[#items + 1] = redis.call('ZSCORE', z, id) or ''
      items[#items + 1] = v[3] or ''
    end
  end
  if leads then return {num(now), rev, 'delta', nearest, dead, items} end
end
return {num(now), rev, 'full', nearest, dead, redis.call('HGETALL', h), redis.call('ZRANGE', z, 0, -1, 'WITHSCORES')}
