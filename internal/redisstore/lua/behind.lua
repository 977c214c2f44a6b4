-- Counts the processes that watch a service and have not taken a revision; writes nothing.
-- KEYS  base:w base:h
-- ARGV  number of the revision
-- Answers {now, count, 1 if the service has been remembered since that revision, else 0}.
local now = clock()
local behind = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do
  local ends, taken = string.match(all[i], '^(%d+) (%d+)$')
  if ends and tonumber(ends) >= now and tonumber(taken) < tonumber(ARGV[1]) then behind = behind + 1 end
end
local rev = tonumber(string.match(redis.call('HGET', KEYS[2], 'rev') or '', '^%d+'))
return {num(now), behind, rev and rev >= tonumber(ARGV[1]) and 1 or 0}
