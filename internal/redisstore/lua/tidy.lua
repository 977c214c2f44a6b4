-- Prunes a service, and clamps its leases after Redis's clock was set back.
-- KEYS  base:h base:z [names]
-- ARGV  owner seq service deadline
-- Answers {now, 'ok' or 'late' (nothing was done)}.
local now = clock()
if now > tonumber(ARGV[4]) then return {num(now), 'late'} end
local s = open(string.sub(KEYS[1], 1, -3), now, ARGV[1] .. ':' .. ARGV[2])
if s.exists then
  touch(s)
  clamp(s)
  prune(s)
  commit(s)
  if KEYS[3] then catalog_set(KEYS[3], now, ARGV[3], top(s)) end
end
return {num(now), 'ok'}
