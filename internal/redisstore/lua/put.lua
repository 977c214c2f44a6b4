-- Registers or heals records of one service.
-- KEYS  base:h base:z [names ids... : only on a standalone server; one ids key per record,
--       names in its place when the ID needs no hint]
-- ARGV  owner service prefix count, then 11 per record:
--       seq, id, mode n (register) or h (heal), stamp, ttl ms, beat ms, payload, overlay,
--       members of the overlay to take out (separated by spaces), deadline, from (=service in which this owner has it now, - none,
--       ? to look for it, ! to look for it thoroughly)
-- Answers {now, rev, then per record: outcome, stamp, overlay}.
-- Outcomes: ok, late (nothing was done), superseded, buried.
local owner, service, prefix = ARGV[1], ARGV[2], ARGV[3]
local count = tonumber(ARGV[4])
local names = KEYS[3]
local now = clock()
local nonce = owner .. ':' .. ARGV[5]
local s = open(string.sub(KEYS[1], 1, -3), now, nonce, true)
local out = {num(now), ''}

local in_time = false
for i = 0, count - 1 do
  if now <= tonumber(ARGV[5 + i * 11 + 9]) then in_time = true end
end
if not in_time then
  out[2] = s.rev
  for _ = 1, count do
    out[#out + 1] = 'late'
    out[#out + 1] = '0'
    out[#out + 1] = ''
  end
  return out
end

-- The first write is one that a server out of memory refuses.
redis.call('HSET', s.h, 'seen', num(now))
-- At once, should another program's data end this midway.
if not s.exists then redis.call('PEXPIREAT', s.h, num(math.ceil((now + OUTLIVE) / 1000))) end
prune(s)

local others = {}

local function record(stamp, seq, ttl, beat, flag, payload)
  return '[1,' .. num(stamp) .. ',"' .. owner .. '",' .. seq .. ',' .. ttl .. ',' .. beat .. ','
    .. flag .. ',' .. payload .. ']'
end

-- Takes id out of the service it stands in elsewhere. Returns its stamp there, or nil;
-- and true when that one stands against the healing of mine.
local function leave_other(id, from, ids, mine, seq)
  local base, name
  if from == '-' or not names then
    return nil
  elseif from == '?' or from == '!' then
    base, name = find(prefix, escape, names, ids, id, now, from == '!')
  else
    name = string.sub(from, 2)
    base = prefix .. '{' .. escape(name) .. '}'
    if not redis.call('HGET', base .. ':h', '+' .. id) then
      -- Another call of this owner has moved it on since.
      base, name = find(prefix, escape, names, ids, id, now, not ids)
    end
  end
  if not base or base == s.base then return nil end
  local o = others[base]
  if not o then
    o = open(base, now, nonce)
    o.name = name
    others[base] = o
    prune(o)
  end
  local rec = parse(redis.call('HGET', o.h, '+' .. id))
  if not rec then return nil end
  if mine and rec.owner ~= owner and newer(rec, mine) then return nil, true end
  return rec.stamp, false, function(stamp)
    bury(o, id, 'moved', stamp, owner, seq, '1', rec.owner == owner and OUTLIVE or FOREIGN, owner .. ':' .. seq)
  end
end


local function put(i)
  local at = 5 + i * 11
  local seq, id, mode, stamp = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local ttl, beat, payload = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local overlay, reset, from = ARGV[at + 7], ARGV[at + 8], ARGV[at + 10]
  local own_nonce = owner .. ':' .. seq
  if now > tonumber(ARGV[at + 9]) then return 'late', 0, '' end
  local ids = KEYS[4 + i]
  if ids == names then ids = nil end
  local found = redis.call('HMGET', s.h, '+' .. id, '-' .. id, '~' .. id)
  local cur, kept = parse(found[1]), found[3]
  local tomb = not cur and parse_tomb(found[2])
  local mine = {stamp = stamp, owner = owner}
  -- Of one owner's calls the later stands, in whatever order they arrive.
  if cur and cur.owner == owner and tonumber(cur.seq) >= tonumber(seq) then
    return 'ok', cur.stamp, kept or ''
  end
  if tomb and tomb.owner == owner and tomb.seq >= tonumber(seq) then
    return tomb.reason == 'moved' and 'superseded' or 'buried', 0, ''
  end
  if ran(s, own_nonce) then
    -- It ran before, and somebody has undone it since.
    return 'ok', (cur or tomb or {stamp = 1}).stamp - 1, ''
  end
  local same = cur and cur.owner == owner and cur.payload == payload
    and num(cur.ttl) == ttl and num(cur.beat) == beat
  for name in string.gmatch(reset, '%S+') do
    if kept and string.find(kept, '"' .. name .. '":', 1, true) then same = false end
  end
  if same and (mode == 'n' or cur.stamp == stamp) then
    redis.call('ZADD', s.z, num(now + ttl * 1000), id)
    -- No event, but the later call: an earlier Deregister on its way must not end it.
    redis.call('HSET', s.h, '+' .. id, record(cur.stamp, seq, ttl, beat, cur.flag, payload))
    if ids then hint_set(ids, now, id, service) end
    return 'ok', cur.stamp, kept or ''
  end
  if mode == 'h' then
    if cur and cur.owner ~= owner and newer(cur, mine) then return 'superseded', 0, '' end
    if tomb and tomb.owner ~= owner and newer(tomb, mine) then return 'superseded', 0, '' end
    if tomb and ends(tomb, owner) and tomb.stamp >= stamp then return 'buried', 0, '' end
  end
  local there, stands, leave
  if not cur then
    there, stands, leave = leave_other(id, from, ids, mode == 'h' and mine, seq)
    if stands then return 'superseded', 0, '' end
  end
  local before = cur or tomb
  if mode == 'n' then
    -- The caller's stamp is that of a registration elsewhere on a Cluster, plus one.
    stamp = math.max(now, s.stamp + 1, stamp, before and before.stamp + 1 or 0, there and there + 1 or 0)
  end
  if leave then leave(stamp) end
  local flag = '0'
  if before and (before.flag == '1' or before.owner ~= owner) then flag = '1' end
  if kept and (not cur or cur.owner ~= owner) then
    redis.call('HDEL', s.h, '~' .. id)
    kept = false
  elseif kept and reset ~= '' then
    local members = {}
    for name in string.gmatch(reset, '%S+') do members[name] = '' end
    kept = overlay_set(s, id, kept, members)
  end
  if not kept and overlay ~= '' then
    redis.call('HSET', s.h, '~' .. id, overlay)
    kept = overlay
  end
  local v = record(stamp, seq, ttl, beat, flag, payload)
  local expiry = now + ttl * 1000
  -- The lease first: a record without one would pass for a live one, should a
  -- user who has just lost the right to ZADD be refused here.
  redis.call('ZADD', s.z, num(expiry), id)
  redis.call('HSET', s.h, '+' .. id, v)
  if tomb then redis.call('HDEL', s.h, '-' .. id) end
  s.stamp = math.max(s.stamp, stamp)
  if ids then hint_set(ids, now, id, service) end
  note(s, id, '+' .. id .. '\n' .. num(expiry) .. '\n' .. v .. '\n' .. (kept or ''), own_nonce)
  return 'ok', stamp, kept or ''
end

for i = 0, count - 1 do
  local outcome, stamp, overlay = put(i)
  out[#out + 1] = outcome
  out[#out + 1] = num(stamp)
  out[#out + 1] = overlay
end
-- The new name shows an instance before the old one stops.
commit(s)
local longest = keep(s, now + OUTLIVE)
if names then catalog_set(names, now, service, longest) end
for base, o in pairs(others) do
  commit(o)
  keep(o, now + OUTLIVE)
  catalog_set(names, now, o.name, top(o))
end
out[2] = s.rev
return out
