-- Renews a process's watcher lease of a service, with the revision that its subscribers
-- have acknowledged.
-- KEYS  base:w, a hash: owner -> "end of the lease, number of the revision acknowledged", and
--       owner# -> "number of a call, when": calls with a lower number are ignored
-- ARGV  owner, ttl in ms (0: it stopped watching), number of the revision or 0, deadline,
--       number of this call, 1 if an earlier call may still run, else 0
-- Answers {now, 'ok' or 'late' (nothing was done), 1 if it had a lease that had not ended, else 0}.
local owner, ttl, call = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local now = server_time()
if now > tonumber(ARGV[4]) then return {num(now), 'late', 0} end
local had = redis.call('HMGET', KEYS[1], owner, owner .. '#')
local newest = had[2] and tonumber(string.match(had[2], '^%d+'))
if newest and newest > call then return {num(now), 'ok', 0} end
local kept = had[1] and tonumber(string.match(had[1], '^%d+')) >= now and 1 or 0
if had[2] and ARGV[6] == '0' then redis.call('HDEL', KEYS[1], owner .. '#') end
if ttl == 0 then
  if had[1] then redis.call('HDEL', KEYS[1], owner) end
  if ARGV[6] == '0' then return {num(now), 'ok', kept} end
end
local ends = now + ttl * 1000
local life = num(math.max(math.ceil((ends + OUTLIVE) / 1000), math.floor(now / 1000) + redis.call('PTTL', KEYS[1])))
-- First when it has a lease: a server out of memory accepts this, and then the rest of the script.
if had[1] then redis.call('PEXPIREAT', KEYS[1], life) end
if ttl > 0 then redis.call('HSET', KEYS[1], owner, num(ends) .. ' ' .. ARGV[3]) end
if ARGV[6] == '1' then redis.call('HSET', KEYS[1], owner .. '#', num(call) .. ' ' .. num(now)) end
if not had[1] then redis.call('PEXPIREAT', KEYS[1], life) end
if redis.call('HLEN', KEYS[1]) % 32 == 0 then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local first, second = string.match(all[i + 1], '^(%d+) (%d+)$')
    local over = string.sub(all[i], -1) == '#' and tonumber(second) + MINUTE or tonumber(first)
    if over < now then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return {num(now), 'ok', kept}
