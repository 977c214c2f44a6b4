-- Shared by all scripts: each is this file followed by others.
-- Times are microseconds of Redis's clock. A service has two keys, in one
-- Cluster slot: base:h, a hash, and base:z, a sorted set. See DESIGN.md.

local MINUTE = 60 * 1000000
local HOUR = 60 * MINUTE
local OUTLIVE = 10 * MINUTE -- by how much keys outlive their longest member, and for how long tombstones are kept
local OTHERS_OUTLIVE = 24 * HOUR   -- for how long tombstones are kept whose owner may not know yet
local LOG = 128 -- how many changes back the log reaches
local EVENTS = 100 -- and of how many changes it has the events
local MESSAGE_BYTES = 1024 * 1024
-- No user's text has a control character, so no ID equals this member.
local LONG = '\n----------------------------------------------------------------'

-- A whole number as text. tostring and .. lose digits beyond 14, %.0f takes as long as a
-- call of Redis, and on some servers %d takes 32 bits only.
local function num(n)
  if n < 0 then return '-' .. string.format('%d%08d', math.floor(-n / 1e8), -n % 1e8) end
  if n < 1e8 then return string.format('%d', n) end
  return string.format('%d%08d', math.floor(n / 1e8), n % 1e8)
end

-- A score as text. Some servers hand scores to scripts as numbers, of which a reply to the
-- client keeps 64-bit integers only.
local function score_text(score)
  if type(score) ~= 'number' then return score end
  if score == math.huge then return 'inf' end
  if score == -math.huge then return '-inf' end
  if score % 1 ~= 0 or math.abs(score) > 2 ^ 53 then return string.format('%.17g', score) end -- another program's
  return num(score)
end

-- Members and scores, as WITHSCORES gives them, with all scores as text.
local function with_score_texts(list)
  if type(list[2]) ~= 'number' then return list end
  for i = 2, #list, 2 do list[i] = score_text(list[i]) end
  return list
end

local function server_time()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Record: [1,stamp,"owner",seq,ttl ms,heartbeat ms,flag,payload]
-- flag 1: it replaced another owner's, who may not know yet.
local function parse_record(v)
  if not v then return nil end
  local stamp, owner, seq, ttl, heartbeat, flag, at =
    string.match(v, '^%[1,(%d+),"(%w+)",(%d+),(%d+),(%d+),([01]),()')
  if not stamp then return nil end
  return {stamp = tonumber(stamp), owner = owner, seq = seq, ttl = tonumber(ttl),
    heartbeat = tonumber(heartbeat), flag = flag, payload = string.sub(v, at, -2)}
end

-- Tombstone: ["reason",stamp,"owner",seq,flag]
-- seq is the number of the owner's last call that the tombstone covers: the one that
-- ended the record or, if another owner's call did, the one that wrote it.
local function parse_tombstone(v)
  if not v then return nil end
  local reason, stamp, owner, seq, flag = string.match(v, '^%["(%a+)",(%d+),"(%w*)",(%d+),([01])%]$')
  if not reason then return nil end
  return {reason = reason, stamp = tonumber(stamp), owner = owner, seq = tonumber(seq), flag = flag}
end

-- Lists are made in their usual size and filled by count: growing one takes longer than a
-- call of Redis.

-- The furthest expiry of a live member, or nil.
local function longest_lease(s)
  if s.top_moved then
    s.top = tonumber(redis.call('ZREVRANGEBYSCORE', s.z, '(+inf', '0', 'WITHSCORES', 'LIMIT', 0, 1)[2] or 0)
    s.top_moved = false
  end
  return s.top > 0 and s.top or nil
end

-- Sets how long the keys must live, from their members.
local function extend_keys(s)
  local first = tonumber(redis.call('ZRANGE', s.z, 0, 0, 'WITHSCORES')[2])
  s.need = math.max(s.need, (longest_lease(s) or 0) + s.outlive, -first)
  s.life = 0
end

-- Opens a service. want, if given, lists fields of the hash to be fetched into values as
-- well; its first five places are for the head. A script that gives it is refused by a
-- server out of memory before anything is written.
local function open_service(base, now, nonce, want)
  local h, z, at = base .. ':h', base .. ':z', num(now)
  local last = redis.call('ZRANGE', z, -2, -1, 'WITHSCORES')
  local whole = last[#last - 1] == ''
  local ended = whole and redis.call('ZRANGEBYSCORE', z, '(-' .. at, '(' .. at, 'WITHSCORES') or {}
  local fields = want or {'', '', '', '', ''}
  fields[1], fields[2], fields[3], fields[4], fields[5] = 'rev', 'stamp', 'seen', 'life', 'outlive'
  local values = redis.call('HMGET', h, unpack(fields))
  if (values[1] ~= false) ~= whole then
    -- One of the two was evicted: what is left proves nothing.
    if want then redis.call('HSET', h, 'seen', at) end
    redis.call('DEL', h, z)
    whole, last, ended, values = false, {}, {}, {}
  end
  local rev = values[1] or ''
  local longest = whole and #last == 4 and tonumber(last[2]) or 0
  local s = {
    h = h, z = z, channel = base .. ':c', base = base, now = now, at = at, nonce = nonce,
    exists = whole, ended = ended, values = values,
    rev = rev, n = tonumber(string.match(rev, '^%d+')) or now,
    stamp = tonumber(values[2] or 0), seen = tonumber(values[3] or now),
    life = tonumber(values[4] or 0), -- until when the keys live at least
    need = now + OUTLIVE,            -- and until when they must live
    outlive = tonumber(values[5] or OUTLIVE), -- by how much they outlive the longest lease
    -- The furthest end of a lease, or 0; valid while top_moved is not set.
    top = longest >= now and longest or 0, top_moved = false,
    lived = longest >= now,
    -- What commit writes: fields of the hash, leases, fields to delete; and publishes: seven
    -- places per change, for the ID, the nonce, the event and up to four lines.
    fields = {'seen', at, 'rev', '', 'stamp', '', '', '', '', ''}, nfields = 6,
    leases = {'', ''}, nleases = 0, drop = false,
    changes = {'', '', '', '', '', '', ''}, nchanges = 0, tombstones = {},
    owners = false, -- lists of owners that were looked at
    expiry = 0, expiry_text = '',
  }
  if whole and s.life == 0 then extend_keys(s) end
  return s
end

-- Whether the call of this nonce took effect before: clients send calls again that were
-- not answered.
local function took_effect(s, nonce)
  local slots = {}
  for i = 0, LOG - 1 do slots[i + 1] = '@' .. i end
  for _, entry in ipairs(redis.call('HMGET', s.h, unpack(slots))) do
    -- At its first dot only: an ID may contain anything that a nonce does.
    local at = entry and string.find(entry, '.' .. nonce .. ' ', 1, true)
    if at and at == string.find(entry, '.', 1, true) then return true end
  end
  return false
end

-- A write with which a server out of memory lets a script begin, and after which it lets it
-- continue.
local function renew_key(s)
  if s.exists then redis.call('PEXPIREAT', s.h, num(math.ceil((s.life > 0 and s.life or s.need) / 1000))) end
end

-- An event, for people: a letter for its kind, its time, who did it, and a note. No text that
-- a user gives has a control character.
local function event(kind, at, by, note) return kind .. at .. '\t' .. by .. '\t' .. note end

-- Notes a change, with its event and the lines of its message. An ID is noted once, or once
-- more after its tombstone; then the change has both events.
local function note_change(s, id, nonce, what, a, b, c, d)
  local at, n = s.tombstones[id], s.changes
  if at then
    what = n[at + 3] .. '\n' .. what
  else
    at = s.nchanges
    s.nchanges = at + 7
  end
  n[at + 1], n[at + 2], n[at + 3] = id, nonce, what
  n[at + 4], n[at + 5], n[at + 6], n[at + 7] = a, b, c or false, d or false
  return at
end

-- Counts the records of an owner in a service, and keeps its name while there are any: once,
-- in a list that it shares with the owners whose IDs begin with the same character. There
-- the next four characters stand for it, of 20 random bits; two owners for which these are
-- equal have no name. Returns the name, or '' if it is not known.
local function count_owner(s, owner, change, name)
  local lists, field, key = s.owners or {}, '#' .. string.sub(owner, 1, 1), '\n' .. string.format('%-4s', string.sub(owner, 2, 5))
  s.owners = lists
  local list = lists[field] or redis.call('HGET', s.h, field) or ''
  local from, past, n = string.find(list, key, 1, true), 0, 0
  if from then
    local known
    known, n, past = string.match(list, '^([^\t\n]*)\t?(%d*)()', from + #key)
    name = (not name or name == known) and known or ''
    n = tonumber(n) or 1
  elseif change < 0 or not name or name == '' then
    return ''
  end
  n = n + change
  local line = n > 1 and key .. name .. '\t' .. string.format('%d', n) or n == 1 and key .. name or ''
  lists[field] = from and string.sub(list, 1, from - 1) .. line .. string.sub(list, past) or list .. line
  return name
end

local function tombstone(reason, stamp, owner, seq, flag)
  return '["' .. reason .. '",' .. num(stamp) .. ',"' .. owner .. '",' .. seq .. ',' .. flag .. ']'
end

-- Ends what stands of an ID. With flag 1 the tombstone is kept for a day, since an owner may
-- not know of it yet, and so is the event.
local function put_tombstone(s, id, what, reason, stamp, owner, seq, flag, nonce)
  local tomb, keep_for = tombstone(reason, stamp, owner, seq, flag), flag == '1' and OTHERS_OUTLIVE or OUTLIVE
  -- In this order a script that is refused midway, because the user lost a right, leaves
  -- nothing that a renewal does not repair.
  local at = note_change(s, id, nonce or s.nonce, what, '-' .. id, tomb)
  s.tombstones[id] = at
  local ends, change = num(-(s.now + keep_for)), '\n' .. num(s.n + at / 7 + 1)
  redis.call('ZADD', s.z, ends, id, ends, change)
  -- A newer tombstone replaces this one, and a registration does too: the event has a field
  -- and a member of its own, which end as those of a tombstone do.
  redis.call('HSET', s.h, '-' .. id, tomb, '-' .. change, id .. '\n' .. s.changes[at + 3])
  redis.call('HDEL', s.h, '+' .. id, '~' .. id)
  s.need = math.max(s.need, s.now + keep_for)
  s.top_moved = true
end

-- Sets members of an overlay, a JSON object, to JSON values, or removes them
-- where the value is ''. Returns the overlay, or false when nothing is left.
local function patch_overlay(s, id, overlay, members)
  local ok, o = pcall(cjson.decode, overlay or '{}')
  if not ok or type(o) ~= 'table' then o = {} end
  for name, value in pairs(members) do
    if value == '' then o[name] = nil else o[name] = cjson.decode(value) end
  end
  if not next(o) then
    redis.call('HDEL', s.h, '~' .. id)
    return false
  end
  -- In order, so that equal overlays are equal texts.
  local names, parts = {}, {}
  for name in pairs(o) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = cjson.encode(name) .. ':' .. cjson.encode(o[name]) end
  local text = '{' .. table.concat(parts, ',') .. '}'
  redis.call('HSET', s.h, '~' .. id, text)
  return text
end

-- After Redis's clock was set back no lease may last longer than its TTL.
local function clamp_leases(s)
  s.top_moved = true
  local live = redis.call('ZRANGEBYSCORE', s.z, s.at, '(+inf', 'WITHSCORES')
  for i = 1, #live, 2 do
    local rec = parse_record(redis.call('HGET', s.h, '+' .. live[i]))
    local limit = rec and s.now + rec.ttl * 1000
    if rec and tonumber(live[i + 1]) > limit then
      redis.call('ZADD', s.z, num(limit), live[i])
    end
  end
  extend_keys(s) -- nor may the keys; the time of a tombstone stays
end

-- Every script that writes removes what has expired before it acts, so that a renewal after
-- the expiry is a visible change.
local function remove_expired(s)
  if s.exists and s.now < s.seen then clamp_leases(s) end
  for i = 1, #s.ended, 2 do
    local id = s.ended[i]
    local lived = tonumber(s.ended[i + 1]) >= 0
    local rec = lived and parse_record(redis.call('HGET', s.h, '+' .. id))
    if not lived then
      redis.call('HDEL', s.h, '-' .. id)
      redis.call('ZREM', s.z, id)
    elseif rec then
      local ended = tonumber(s.ended[i + 1])
      local what = event('x', num(ended), count_owner(s, rec.owner, -1), num(ended - rec.ttl * 1000))
      put_tombstone(s, id, what, 'expired', rec.stamp, rec.owner, rec.seq, rec.flag,
        s.nonce .. '~') -- not the call's own nonce: this change does not show that the call took effect
    else
      redis.call('ZREM', s.z, id) -- not a record of this version: kept
    end
  end
  s.ended = {}
end

-- Sets a lease with the commit. Returns its end as text.
local function set_lease(s, expiry, id)
  if expiry ~= s.expiry then s.expiry, s.expiry_text = expiry, num(expiry) end
  local l, n = s.leases, s.nleases
  l[n + 1], l[n + 2] = s.expiry_text, id
  s.nleases = n + 2
  s.need = math.max(s.need, expiry + s.outlive)
  if expiry >= s.top then s.top = expiry else s.top_moved = true end
  return s.expiry_text
end

-- Sets a field with the commit.
local function set_field(s, field, value)
  local f, n = s.fields, s.nfields
  f[n + 1], f[n + 2] = field, value
  s.nfields = n + 2
end

-- Keeps the service for a day after its last lease, even if no call writes a tombstone: it
-- has an ID that replaced another owner's.
local function remember_for_a_day(s)
  if s.outlive >= OTHERS_OUTLIVE then return end
  s.outlive = OTHERS_OUTLIVE
  set_field(s, 'outlive', num(OTHERS_OUTLIVE))
end

-- Writes what was set, makes the keys live longer than any member, numbers the changes and
-- publishes them.
local function commit(s)
  local prev, count, notes = s.rev, s.nchanges / 7, s.changes
  if count == 0 and not s.exists then return end
  local lines, n, bytes = {prev, '', s.at, '', '', '', ''}, 3, 0
  for i = 1, count do
    local at = 7 * i - 7
    s.n = s.n + 1
    s.rev = num(s.n) .. '.' .. notes[at + 2]
    if count - i < LOG then
      set_field(s, '@' .. string.format('%d', s.n % LOG), s.rev .. ' ' .. notes[at + 1])
      -- Three more digits of the number show that the event is of this change, and not of one
      -- before which a process of an older version logged without an event.
      if count - i < EVENTS then
        set_field(s, '=' .. string.format('%d', s.n % EVENTS), string.format('%03d', math.floor(s.n / EVENTS) % 1000) .. notes[at + 3])
      end
    end
    for j = at + 4, at + 7 do
      local line = notes[j]
      if line then
        n = n + 1
        lines[n] = line
        bytes = bytes + #line
      end
    end
  end
  if s.owners then
    for field, list in pairs(s.owners) do
      if list ~= '' then
        set_field(s, field, list)
      else
        s.drop = s.drop or {}
        s.drop[#s.drop + 1] = field
      end
    end
  end
  -- The lease first: a record without one would pass for a live one, should a
  -- user who has just lost the right to ZADD be refused here.
  if not s.exists then
    -- A member this long makes Redis keep the set as a skip list for good. As a
    -- compact list, which it is for up to 128 members otherwise, each renewal
    -- would walk over all of them.
    redis.call('ZADD', s.z, '+inf', '', '+inf', LONG)
  end
  if s.nleases > 0 then redis.call('ZADD', s.z, unpack(s.leases, 1, s.nleases)) end
  if s.need > s.life then
    -- For longer than asked, so that most calls need not.
    s.life = s.need + OUTLIVE
    local ms = num(math.ceil(s.life / 1000))
    redis.call('PEXPIREAT', s.z, ms)
    if s.exists then
      redis.call('PEXPIREAT', s.h, ms)
      set_field(s, 'life', num(s.life))
    end
  end
  if not s.exists then redis.call('ZREM', s.z, LONG) end
  local f = s.fields
  if count == 0 and s.exists and s.nfields == 6 then
    redis.call('HSET', s.h, 'seen', s.at)
  else
    f[4], f[6] = s.rev, num(s.stamp)
    redis.call('HSET', s.h, unpack(f, 1, s.nfields))
  end
  if s.drop then redis.call('HDEL', s.h, unpack(s.drop)) end
  if not s.exists then
    redis.call('PEXPIREAT', s.h, num(math.ceil(s.life / 1000)))
    redis.call('HSET', s.h, 'life', num(s.life), 'since', s.at) -- which says that they have it, and since when
  end
  if count == 0 then return end
  lines[2] = s.rev
  if bytes > MESSAGE_BYTES then lines, n = {prev, s.rev, s.at, ''}, 4 end
  redis.call('PUBLISH', s.channel, table.concat(lines, '\n', 1, n))
end

-- Whether an error, as pcall and redis.pcall give it, says that a key is of another type.
local function is_wrong_type(err)
  if type(err) == 'table' then err = err.err end
  return type(err) == 'string' and string.find(err, 'WRONGTYPE', 1, true) ~= nil
end

-- The error of the server when f writes, or '' if it accepts that. A key of another type is
-- no refusal.
local function refusal_of(f)
  local fine, err = pcall(f)
  if fine then return '' end
  if is_wrong_type(err) then error(err) end
  return type(err) == 'table' and err.err or tostring(err)
end

-- Whether a reply says that the key is of another type. Foreign data in the place of the
-- catalog or of the ID index disables those, and not the service.
local function is_foreign(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  if not is_wrong_type(reply) then error(reply.err) end
  return true
end

-- The catalog: a sorted set of service names, scored with the end of their
-- longest lease, or with minus the end of the evidence that the last one ended.
-- known: the service had a live member before, so the catalog should have it.
-- brief: its owner is going to renew it before the catalog itself expires.
local function update_catalog(key, now, name, expiry, known, brief)
  if known and expiry then
    local added = redis.pcall('ZADD', key, num(expiry), name)
    if is_foreign(added) then return end
    if added == 1 or not brief then redis.call('PEXPIREAT', key, num(math.ceil((now + 25 * HOUR) / 1000))) end
    if added == 1 then redis.call('PUBLISH', key .. ':c', num(now)) end
    return
  end
  local score = redis.pcall('ZSCORE', key, name)
  if is_foreign(score) then return end
  local was = tonumber(score or nil)
  local lived = was and was >= now
  if expiry then
    redis.call('ZADD', key, num(expiry), name)
  elseif lived then
    redis.call('ZADD', key, num(-(now + OUTLIVE)), name) -- the last one was deregistered
  else
    return -- the last one expired: the score says when
  end
  redis.call('PEXPIREAT', key, num(math.ceil((now + 25 * HOUR) / 1000)))
  if (expiry ~= nil) ~= (lived == true) then
    redis.call('ZREMRANGEBYSCORE', key, '(' .. num(-now), '(' .. num(now - OUTLIVE))
    redis.call('PUBLISH', key .. ':c', num(now))
  end
end

-- The ID index: where IDs that users chose stand, in buckets: id -> "end service".
local function index_put(key, now, field, keep_for, value)
  local added = redis.pcall('HSET', key, field, num(math.floor((now + keep_for) / 1000000)) .. ' ' .. value)
  if is_foreign(added) then return end
  redis.call('PEXPIREAT', key, num(math.ceil((now + 25 * HOUR) / 1000)))
  if added == 1 and redis.call('HLEN', key) % 64 == 0 then
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      local ends = tonumber(string.match(all[i + 1], '^%d+') or 0)
      if ends * 1000000 < now then redis.call('HDEL', key, all[i]) end
    end
  end
end

local function index_set(key, now, id, service) index_put(key, now, id, OTHERS_OUTLIVE, service) end

local function index_get(key, id)
  local v = redis.pcall('HGET', key, id)
  return v and not is_foreign(v) and string.match(v, '^%d+ (.*)$')
end
