-- Registers or heals records of one service.
-- KEYS  base:h base:z [names ids... : only on a standalone server; one ids key per record,
--       names in its place when the ID needs no hint]
-- ARGV  owner service prefix count, then 11 per record:
--       seq, id, mode n (register) or h (heal), stamp, ttl ms, beat ms, payload, overlay,
--       members of the overlay to take out (separated by spaces), deadline, from (=service in which this owner has it now, - none,
--       ? to look for it, ! to look for it thoroughly)
-- No ID comes twice.
-- Answers {now, rev, then per record: outcome, stamp, overlay}.
-- Outcomes: ok, late (nothing was done), superseded, buried, foreign (another
-- program's data is in the place of the service that the ID is to leave; nothing was done).
local owner, service, prefix = ARGV[1], ARGV[2], ARGV[3]
local count = tonumber(ARGV[4])
local names = KEYS[3]
local now = clock()
local nonce = owner .. ':' .. ARGV[5]
local want, in_time = {'', '', '', '', '', '', ''}, false
for i = 1, count do
  local at, id = 11 * i - 6, ARGV[11 * i - 5]
  want[3 * i + 2], want[3 * i + 3], want[3 * i + 4] = '+' .. id, '-' .. id, '~' .. id
  in_time = in_time or now <= tonumber(ARGV[at + 9])
end
local s = open(string.sub(KEYS[1], 1, -3), now, nonce, want)
local out = {s.at, s.rev, '', '', ''}
if not in_time then
  for i = 1, count do
    out[3 * i], out[3 * i + 1], out[3 * i + 2] = 'late', '0', ''
  end
  return out
end

-- Before whatever is written ahead of the leases: a server out of memory refuses it.
local dared = false
local function dare()
  if dared then return end
  dared = true
  redis.call('HSET', s.h, 'seen', s.at)
  -- At once, should another program's data end this midway.
  if not s.exists then redis.call('PEXPIREAT', s.h, num(math.ceil((now + OUTLIVE) / 1000))) end
end
if #s.ended > 0 or now < s.seen then
  dare()
  prune(s)
  s.values = redis.call('HMGET', s.h, unpack(want))
end

local others = {}

local function record(stamp, seq, ttl, beat, flag, payload)
  return '[1,' .. stamp .. ',"' .. owner .. '",' .. seq .. ',' .. ttl .. ',' .. beat .. ','
    .. flag .. ',' .. payload .. ']'
end

-- Takes id out of the service it stands in elsewhere. Returns its stamp there, or nil;
-- and true when that one stands against the healing of mine.
local function leave_other(id, from, ids, mine, seq)
  local base, name
  if from == '?' or from == '!' then
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
    dare()
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
  local at = 11 * i - 6
  local seq, id, mode, stamp = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local ttl, beat, payload = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local overlay, reset, from = ARGV[at + 7], ARGV[at + 8], ARGV[at + 10]
  local own_nonce = owner .. ':' .. seq
  if now > tonumber(ARGV[at + 9]) then return 'late', '0', '' end
  local ids = KEYS[3 + i]
  if ids == names then ids = nil end
  local cur, kept = parse(s.values[3 * i + 2]), s.values[3 * i + 4]
  local tomb = not cur and parse_tomb(s.values[3 * i + 3])
  local before = cur or tomb
  -- Of one owner's calls the later stands, in whatever order they arrive.
  if cur and cur.owner == owner and tonumber(cur.seq) >= tonumber(seq) then
    return 'ok', num(cur.stamp), kept or ''
  end
  if tomb and tomb.owner == owner and tomb.seq >= tonumber(seq) then
    return tomb.reason == 'moved' and 'superseded' or 'buried', '0', ''
  end
  -- It may have run before and have been undone: that has left a trace of somebody else.
  if (tomb or cur and cur.owner ~= owner) and ran(s, own_nonce) then return 'ok', num(before.stamp - 1), '' end
  local same = cur and cur.owner == owner and cur.payload == payload
    and num(cur.ttl) == ttl and num(cur.beat) == beat
  if same and kept and reset ~= '' then
    for name in string.gmatch(reset, '%S+') do
      if string.find(kept, '"' .. name .. '":', 1, true) then same = false end
    end
  end
  if same and (mode == 'n' or cur.stamp == stamp) then
    lease(s, now + ttl * 1000, id)
    -- No event, but the later call: an earlier Deregister on its way must not end it.
    set(s, want[3 * i + 2], record(num(cur.stamp), seq, ttl, beat, cur.flag, payload))
    if ids then hint_set(ids, now, id, service) end
    return 'ok', num(cur.stamp), kept or ''
  end
  if mode == 'h' then
    if before and before.owner ~= owner and newer(before, {stamp = stamp, owner = owner}) then return 'superseded', '0', '' end
    if tomb and ends(tomb, owner) and tomb.stamp >= stamp then return 'buried', '0', '' end
  end
  local there, beaten, leave
  if not cur and names and from ~= '-' then
    local fine
    fine, there, beaten, leave = pcall(leave_other, id, from, ids, mode == 'h' and {stamp = stamp, owner = owner}, seq)
    if not fine then
      if not wrong_type(there) then error(there) end
      return 'foreign', '0', '' -- this record fails alone
    end
    if beaten then return 'superseded', '0', '' end
  end
  if mode == 'n' then
    -- The caller's stamp is that of a registration elsewhere on a Cluster, plus one.
    stamp = math.max(now, s.stamp + 1, stamp, before and before.stamp + 1 or 0, there and there + 1 or 0)
  end
  if leave then leave(stamp) end
  local flag = '0'
  if before and (before.flag == '1' or before.owner ~= owner) then flag = '1' end
  if kept and (not cur or cur.owner ~= owner) then
    dare()
    redis.call('HDEL', s.h, '~' .. id)
    kept = false
  elseif kept and reset ~= '' then
    local members = {}
    for name in string.gmatch(reset, '%S+') do members[name] = '' end
    dare()
    kept = overlay_set(s, id, kept, members)
  end
  if not kept and overlay ~= '' then
    set(s, '~' .. id, overlay)
    kept = overlay
  end
  local text = stamp == now and s.at or num(stamp)
  local v = record(text, seq, ttl, beat, flag, payload)
  local expiry = lease(s, now + ttl * 1000, id)
  set(s, want[3 * i + 2], v)
  if tomb then
    s.drop = s.drop or {}
    s.drop[#s.drop + 1] = want[3 * i + 3]
  end
  s.stamp = math.max(s.stamp, stamp)
  if ids then hint_set(ids, now, id, service) end
  note(s, id, own_nonce, want[3 * i + 2], expiry, v, kept or '')
  return 'ok', text, kept or ''
end

for i = 1, count do
  out[3 * i], out[3 * i + 1], out[3 * i + 2] = put(i)
end
-- The new name shows an instance before the old one stops.
commit(s)
if names then catalog_set(names, now, service, top(s), s.lived, s.top < now + HOUR) end
for base, o in pairs(others) do
  commit(o)
  catalog_set(names, now, o.name, top(o))
end
out[2] = s.rev
return out
