-- Renews a process's lease as a watcher of a service, and says what its readers have taken.
-- KEYS  base:w, a hash: owner -> "end of the lease, number of the revision taken"
-- ARGV  owner, ttl in ms (0: it watches no more), number of the revision or 0, deadline
-- Answers {now, 'ok' or 'late' (nothing was done)}.
local now = clock()
if now > tonumber(ARGV[4]) then return {num(now), 'late'} end
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {num(now), 'ok'}
end
local ends = now + ARGV[2] * 1000
local life = num(math.max(math.ceil((ends + OUTLIVE) / 1000), math.floor(now / 1000) + redis.call('PTTL', KEYS[1])))
-- First when it has a lease, because a server out of memory lets a script go on that has written this.
local renews = redis.call('HGET', KEYS[1], ARGV[1])
if renews then redis.call('PEXPIREAT', KEYS[1], life) end
redis.call('HSET', KEYS[1], ARGV[1], num(ends) .. ' ' .. ARGV[3])
if not renews then redis.call('PEXPIREAT', KEYS[1], life) end
if redis.call('HLEN', KEYS[1]) % 32 == 0 then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '^%d+')) < now then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return {num(now), 'ok'}
