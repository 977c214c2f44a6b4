-- Removes what has expired from a service, and clamps its leases after Redis's clock was
-- set back.
-- KEYS  base:h base:z [names]
-- ARGV  owner seq service deadline
-- Answers {now, 'ok' or 'late' (nothing was done)}.
local now = server_time()
if now > tonumber(ARGV[4]) then return {num(now), 'late'} end
local s = open_service(string.sub(KEYS[1], 1, -3), now, ARGV[1] .. ':' .. ARGV[2])
if s.exists then
  renew_key(s)
  clamp_leases(s)
  remove_expired(s)
  commit(s)
  if KEYS[3] then update_catalog(KEYS[3], now, ARGV[3], longest_lease(s)) end
end
return {num(now), 'ok'}
