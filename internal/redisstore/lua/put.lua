-- Registers or reregisters records of one service.
-- KEYS  base:h base:z [names ids... : only on a standalone server; one bucket of the ID index per
--       record, names in its place when the ID needs no entry]
-- ARGV  owner service prefix count, then 11 per record:
--       seq, id, mode n (register) or h (reregister), stamp, ttl ms, heartbeat ms, payload, overlay,
--       members of the overlay to remove (separated by spaces), deadline, and where the ID may
--       stand now: =service in which this owner has it, - nowhere, ? where the index says, ! search all;
--       and then the name of the caller, for people
-- Each ID comes once.
-- Answers {now, rev, then per record: outcome, stamp, overlay}.
-- Outcomes: ok, late (nothing was done), superseded, deregistered, overtaken (a later call of this
-- owner stands), foreign (another program's data is in the place of the service that the ID
-- is to leave; nothing was done).
local owner, service, prefix = ARGV[1], ARGV[2], ARGV[3]
local count = tonumber(ARGV[4])
local names = KEYS[3]
local now = server_time()
local nonce = owner .. ':' .. ARGV[5]
local by = ARGV[11 * count + 5] or ''
local by_elsewhere = string.gsub(by, '\2', function() return service end) -- see storedName

-- The columns register and reregister of the fencing table. Where a cell has two
-- verdicts: extend if the same stands, superseded if the call took effect before and
-- another owner's write followed.
local REGISTER = {
  ['nothing'] = 'write',
  ['own record, later call'] = 'overtaken',
  ['own record, same call'] = 'extend',
  ['own record, earlier call'] = 'write or extend',
  ["other's newer record"] = 'write or superseded',
  ["other's older record"] = 'write or superseded',
  ['own left, later or same call'] = 'deregistered',
  ['own left, earlier call'] = 'write',
  ['own left, earlier call, older'] = 'write',
  ['own expired, later call'] = 'overtaken',
  ['own expired, same call'] = 'restore',
  ['own expired, earlier call'] = 'write',
  ['own moved, later or same call'] = 'overtaken',
  ['own moved, earlier call'] = 'write',
  ["other's newer left"] = 'write or superseded',
  ["other's older left"] = 'write or superseded',
  ["other's newer expired"] = 'write or superseded',
  ["other's older expired"] = 'write or superseded',
  ["other's newer moved"] = 'write or superseded',
  ["other's older moved"] = 'write or superseded',
}
local REREGISTER = {
  ['nothing'] = 'write',
  ['own record, later call'] = 'overtaken',
  ['own record, same call'] = 'extend',
  ['own record, earlier call'] = 'write or extend',
  ["other's newer record"] = 'superseded',
  ["other's older record"] = 'write',
  ['own left, later or same call'] = 'deregistered',
  ['own left, earlier call'] = 'deregistered',
  ['own left, earlier call, older'] = 'write',
  ['own expired, later call'] = 'overtaken',
  ['own expired, same call'] = 'write',
  ['own expired, earlier call'] = 'write',
  ['own moved, later or same call'] = 'overtaken',
  ['own moved, earlier call'] = 'write',
  ["other's newer left"] = 'superseded',
  ["other's older left"] = 'write',
  ["other's newer expired"] = 'superseded',
  ["other's older expired"] = 'write',
  ["other's newer moved"] = 'superseded',
  ["other's older moved"] = 'write',
}

-- The fields of each record: record, tombstone, overlay.
local want, in_time = {'', '', '', '', '', '', '', ''}, false
for i = 1, count do
  local at, id = 11 * i - 6, ARGV[11 * i - 5]
  want[3 * i + 3], want[3 * i + 4], want[3 * i + 5] = '+' .. id, '-' .. id, '~' .. id
  in_time = in_time or now <= tonumber(ARGV[at + 9])
end
local s = open_service(string.sub(KEYS[1], 1, -3), now, nonce, want)
local out = {s.at, s.rev, '', '', ''}
if not in_time then
  for i = 1, count do
    out[3 * i], out[3 * i + 1], out[3 * i + 2] = 'late', '0', ''
  end
  return out
end

-- Called before all that is written ahead of the leases: a server out of memory refuses it.
local required = false
local function require_memory()
  if required then return end
  required = true
  redis.call('HSET', s.h, 'seen', s.at)
  -- At once, in case another program's data ends the script midway.
  if not s.exists then redis.call('PEXPIREAT', s.h, num(math.ceil((now + OUTLIVE) / 1000))) end
end
if #s.ended > 0 or now < s.seen then
  require_memory()
  remove_expired(s)
  s.values = redis.call('HMGET', s.h, unpack(want))
end

local others = {}

-- What stands of an ID in another service: the service, record, tombstone; or nil.
local function find_elsewhere(id, from, ids)
  local base, name
  if from == '?' or from == '!' then
    base, name = find_id(prefix, names, ids, id, now, from == '!')
  else
    name = string.sub(from, 2)
    base = prefix .. '{' .. escape_service(name) .. '}'
    if not redis.call('HGET', base .. ':h', '+' .. id) then
      -- Another call of this owner has moved it since.
      base, name = find_id(prefix, names, ids, id, now, not ids)
    end
  end
  if not base or base == s.base then return nil end
  local o = others[base]
  if not o then
    require_memory()
    o = open_service(base, now, nonce)
    o.name = name
    others[base] = o
    remove_expired(o)
  end
  local v = redis.call('HMGET', o.h, '+' .. id, '-' .. id)
  local rec = parse_record(v[1])
  return o, rec, not rec and parse_tombstone(v[2])
end

-- Whether a record and its overlay already are as a call would set them.
local function same_content(cur, standing, payload, ttl, heartbeat, reset)
  if cur.payload ~= payload or num(cur.ttl) ~= ttl or num(cur.heartbeat) ~= heartbeat then return false end
  if standing and reset ~= '' then
    for name in string.gmatch(reset, '%S+') do
      if string.find(standing, '"' .. name .. '":', 1, true) then return false end
    end
  end
  return true
end

-- The overlay that a record starts with: the one that stands, if it is the owner's, without
-- the members to reset; else the call's.
local function initial_overlay(id, standing, overlay, reset)
  if standing and reset ~= '' then
    local members = {}
    for name in string.gmatch(reset, '%S+') do members[name] = '' end
    require_memory()
    standing = patch_overlay(s, id, standing, members)
  end
  if not standing and overlay ~= '' then
    set_field(s, '~' .. id, overlay)
    standing = overlay
  end
  return standing
end

local function record(stamp, seq, ttl, heartbeat, flag, payload)
  return '[1,' .. stamp .. ',"' .. owner .. '",' .. seq .. ',' .. ttl .. ',' .. heartbeat .. ',' .. flag .. ',' .. payload .. ']'
end

local function put(i)
  local at = 11 * i - 6
  local seq, id, stamp = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3])
  local ttl, heartbeat, payload = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local overlay, reset, from = ARGV[at + 7], ARGV[at + 8], ARGV[at + 10]
  if now > tonumber(ARGV[at + 9]) then return 'late', '0', '' end
  local n, own_nonce = tonumber(seq), owner .. ':' .. seq
  local ids = KEYS[3 + i]
  if ids == names then ids = nil end
  local registering = ARGV[at + 2] == 'n'
  local column = registering and REGISTER or REREGISTER
  local field, standing = want[3 * i + 3], s.values[3 * i + 5]
  local cur = parse_record(s.values[3 * i + 3])
  local tomb = not cur and parse_tombstone(s.values[3 * i + 4])
  local before = cur or tomb

  local outcome = column[situation_of(owner, n, registering and 0 or stamp, cur, tomb)]
  if outcome == 'write or superseded' then
    outcome = took_effect(s, own_nonce) and 'superseded' or 'write'
  elseif outcome == 'write or extend' then
    outcome = same_content(cur, standing, payload, ttl, heartbeat, reset) and (registering or cur.stamp == stamp) and 'extend' or 'write'
  elseif outcome == 'restore' then
    -- The call took effect, and its lease ended before it was sent again.
    outcome, registering, column, stamp = 'write', false, REREGISTER, tomb.stamp
  end
  if outcome == 'extend' then
    set_lease(s, now + ttl * 1000, id)
    -- No change, but a later call: an earlier Deregister that is still to arrive must not end it.
    set_field(s, field, record(num(cur.stamp), seq, ttl, heartbeat, cur.flag, payload))
    if ids then index_set(ids, now, id, service) end
    return 'ok', num(cur.stamp), standing or ''
  end
  if outcome ~= 'write' then return outcome, num(before.stamp), standing or '' end

  local o, o_rec, o_tomb
  if not cur and names and from ~= '-' then
    local fine
    fine, o, o_rec, o_tomb = pcall(find_elsewhere, id, from, ids)
    if not fine then
      if not is_wrong_type(o) then error(o) end
      return 'foreign', '0', '' -- only this record fails
    end
  end
  local there = o_rec or o_tomb
  if there then
    -- It counts as if it stood here.
    outcome = column[situation_of(owner, n, registering and 0 or stamp, o_rec, o_tomb)]
    if outcome == 'overtaken' or outcome == 'superseded' or outcome == 'deregistered' then return outcome, num(there.stamp), '' end
  end
  if registering then
    -- The caller's stamp is one more than that of a registration elsewhere on a Cluster, or
    -- a time that the clock had passed before it was set back.
    stamp = math.max(now, s.stamp + 1, stamp, before and before.stamp + 1 or 0, there and there.stamp + 1 or 0)
  end
  if there and MOVE[situation_of(owner, n, stamp, o_rec, o_tomb)] == 'end' then
    end_as_moved(o, id, there, stamp, owner, seq, by_elsewhere, service, own_nonce)
  end

  local flag = '0'
  if before and (before.flag == '1' or before.owner ~= owner) or there and (there.flag == '1' or there.owner ~= owner) then
    flag = '1'
    remember_for_a_day(s)
  end
  if standing and (not cur or cur.owner ~= owner) then
    require_memory()
    redis.call('HDEL', s.h, '~' .. id)
    standing = false
  end
  standing = initial_overlay(id, standing, overlay, reset)
  local text = stamp == now and s.at or num(stamp)
  local v = record(text, seq, ttl, heartbeat, flag, payload)
  local expiry = set_lease(s, now + ttl * 1000, id)
  set_field(s, field, v)
  if tomb then
    s.drop = s.drop or {}
    s.drop[#s.drop + 1] = want[3 * i + 4]
  end
  s.stamp = math.max(s.stamp, stamp)
  if ids then index_set(ids, now, id, service) end
  local note = ''
  if not cur then
    count_owner(s, owner, 1, by)
  elseif cur.owner ~= owner then
    note = count_owner(s, cur.owner, -1)
    count_owner(s, owner, 1, by)
  end
  note_change(s, id, own_nonce, event(cur and 'r' or 'n', s.at, by, note), field, expiry, v, standing or '')
  return 'ok', text, standing or ''
end

for i = 1, count do
  out[3 * i], out[3 * i + 1], out[3 * i + 2] = put(i)
end
-- The new name shows an instance before the old one stops to.
commit(s)
if names then
  update_catalog(names, now, service, longest_lease(s), s.lived, s.top < now + HOUR)
elseif not s.lived and longest_lease(s) then
  -- The catalog, in another slot, may have been written before there was an instance.
  redis.call('PUBLISH', prefix .. 'names:c', s.at)
end
for base, o in pairs(others) do
  commit(o)
  update_catalog(names, now, o.name, longest_lease(o))
end
out[2] = s.rev
return out
