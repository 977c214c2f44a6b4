-- Extends an owner's leases in one service, all of one TTL.
-- KEYS  base:h base:z [names : only on a standalone server]
-- ARGV  owner seq service rev (that the owner knows) ttl ms, deadline, and of the
--       leases, as MessagePack arrays: their ids, with a 0 before each; their stamps
-- Answers {now, rev, outcome}: late (nothing was done), same (all renewed, nothing looked at),
-- or each, followed per lease by: outcome (ok, lost, superseded, deregistered), overlay.
local owner, known, ttl = ARGV[1], ARGV[4], ARGV[5] * 1000

-- The column renew of the fencing table. A renewal comes after all calls of its owner.
local RENEW = {
  ['own record, earlier call'] = 'ok or lost', -- by its registration time
  ["other's newer record"] = 'superseded',
  ['own left, earlier call'] = 'deregistered',
  ["other's newer left"] = 'superseded',
  ["other's newer expired"] = 'superseded',
  ["other's newer moved"] = 'superseded',
} -- otherwise lost
local last = math.huge

local now = server_time()
local s = open_service(string.sub(KEYS[1], 1, -3), now, owner .. ':' .. ARGV[2])
if now > tonumber(ARGV[6]) then return {num(now), s.rev, 'late'} end
local expiry = num(now + ttl)
local leases = cmsgpack.unpack(ARGV[7])
if s.exists then
  renew_key(s)
  remove_expired(s)
end

local out = {num(now), s.rev, 'same'}
local alive = {} -- expiry, id, and so on
if s.exists and known == s.rev and s.nchanges == 0 then
  for i = 1, #leases, 2 do leases[i] = expiry end
  alive = leases
else
  out[3] = 'each'
  local stamps = cmsgpack.unpack(ARGV[8])
  for i = 2, #leases, 2 do
    local id = leases[i]
    local v = redis.call('HMGET', s.h, '+' .. id, '-' .. id, '~' .. id)
    local stamp, cur = stamps[i / 2], parse_record(v[1])
    local row = situation_of(owner, last, stamp, cur, not cur and parse_tombstone(v[2]))
    local outcome = RENEW[row] or 'lost'
    if outcome == 'ok or lost' then outcome = cur.stamp == stamp and 'ok' or 'lost' end
    if outcome == 'ok' then
      alive[#alive + 1] = expiry
      alive[#alive + 1] = id
    end
    out[#out + 1] = outcome
    out[#out + 1] = v[3] or ''
  end
end
for from = 1, #alive, 4000 do
  redis.call('ZADD', s.z, 'XX', unpack(alive, from, math.min(from + 3999, #alive)))
end
if s.exists then
  if #alive > 0 then
    s.need = math.max(s.need, now + ttl + s.outlive)
    if now + ttl >= s.top then s.top = now + ttl else s.top_moved = true end
  end
  commit(s)
  if KEYS[3] then update_catalog(KEYS[3], now, ARGV[3], longest_lease(s), s.lived) end
  out[2] = s.rev
end
return out
