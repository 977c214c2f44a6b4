-- Counts the processes that watch a service and have not taken a revision; writes nothing.
-- KEYS  base:w
-- ARGV  number of the revision
-- Answers {now, count}.
local now = clock()
local behind = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do
  local ends, taken = string.match(all[i], '^(%d+) (%d+)$')
  if ends and tonumber(ends) >= now and tonumber(taken) < tonumber(ARGV[1]) then behind = behind + 1 end
end
return {num(now), behind}
