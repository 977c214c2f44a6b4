-- Shared by every script, which is this text followed by its own.
-- Times are microseconds of Redis's clock. A service has two keys, in one
-- Cluster slot: base:h, a hash, and base:z, a sorted set. See DESIGN.md.

local MINUTE = 60 * 1000000
local HOUR = 60 * MINUTE
local OUTLIVE = 10 * MINUTE -- keys outlive their longest member; own tombstones
local FOREIGN = 24 * HOUR   -- tombstones that an owner did not make itself
local LOG_BYTES = 4096 -- of which each change reads and writes all
local ENTRY_BYTES = 512
local MESSAGE_BYTES = 1024 * 1024
local LONG = string.rep('-', 65)

-- tostring and .. lose digits beyond 14.
local function num(n) return string.format('%.0f', n) end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Record: [1,stamp,"owner",seq,ttl ms,beat ms,flag,payload]
-- flag 1: it took the ID over from another owner, who may not know yet.
local function parse(v)
  if not v then return nil end
  local stamp, owner, seq, ttl, beat, flag, at =
    string.match(v, '^%[1,(%d+),"(%w+)",(%d+),(%d+),(%d+),([01]),()')
  if not stamp then return nil end
  return {stamp = tonumber(stamp), owner = owner, seq = seq, ttl = tonumber(ttl),
    beat = tonumber(beat), flag = flag, payload = string.sub(v, at, -2)}
end

-- Tombstone: ["reason",stamp,"owner",seq,flag]
-- seq is the number of the call with which the owner itself ended it, or 0.
local function parse_tomb(v)
  if not v then return nil end
  local reason, stamp, owner, seq, flag = string.match(v, '^%["(%a+)",(%d+),"(%w*)",(%d+),([01])%]$')
  if not reason then return nil end
  return {reason = reason, stamp = tonumber(stamp), owner = owner, seq = tonumber(seq), flag = flag}
end

-- Whether a tombstone stands against an owner who still renews or heals what it
-- covers. His own move does not: he would not if that had not failed for him.
local function ends(tomb, owner)
  return tomb.reason == 'left' or (tomb.reason == 'moved' and tomb.owner ~= owner)
end

-- Of two registrations of one ID the greater stands.
local function newer(a, b)
  return a.stamp > b.stamp or (a.stamp == b.stamp and a.owner > b.owner)
end

-- logged: the log will be needed. Otherwise it is fetched when it is.
local function open(base, now, nonce, logged)
  local s = {h = base .. ':h', z = base .. ':z', channel = base .. ':c', base = base,
    now = now, nonce = nonce, changed = {}, message = {}, nonces = {}}
  local head = redis.call('HMGET', s.h, 'rev', 'stamp', 'seen', logged and 'log' or 'rev')
  if (not head[1]) ~= (not redis.call('ZSCORE', s.z, '')) then
    -- One of the two was evicted: what is left proves nothing.
    redis.call('DEL', s.h, s.z)
    head = {false, false, false, false}
  end
  s.exists = head[1] ~= false
  s.rev = head[1] or ''
  s.n = tonumber(string.match(s.rev, '^%d+')) or now
  s.stamp = tonumber(head[2] or 0)
  s.seen = tonumber(head[3] or now)
  s.log = (logged or not s.exists) and (head[4] or '')
  return s
end

local function log_of(s)
  s.log = s.log or redis.call('HGET', s.h, 'log') or ''
  return s.log
end

-- Whether the call of this nonce took effect before: clients send again what was not answered.
local function ran(s, nonce)
  return string.find(log_of(s), '.' .. nonce .. ' ', 1, true) ~= nil
end

-- The furthest expiry of a live member, or nil.
local function top(s)
  return tonumber(redis.call('ZREVRANGEBYSCORE', s.z, '(+inf', '0', 'WITHSCORES', 'LIMIT', 0, 1)[2])
end

-- Sets the keys' time to live: longer than any member's, at least until. Returns the top.
local function keep(s, until_)
  local longest = top(s)
  local life = math.max(until_, (longest or 0) + OUTLIVE)
  local tomb = tonumber(redis.call('ZRANGE', s.z, 0, 0, 'WITHSCORES')[2])
  if tomb and -tomb > life then life = -tomb end
  local ms = num(math.ceil(life / 1000))
  redis.call('PEXPIREAT', s.h, ms)
  redis.call('PEXPIREAT', s.z, ms)
  return longest
end

local function note(s, id, text, nonce)
  if not s.message[id] then s.changed[#s.changed + 1] = id end
  s.message[id] = text
  s.nonces[id] = nonce or s.nonce
end

local function bury(s, id, reason, stamp, owner, seq, flag, keep_for, nonce)
  local tomb = '["' .. reason .. '",' .. num(stamp) .. ',"' .. owner .. '",' .. seq .. ','
    .. flag .. ']'
  -- In this order what a user who has just lost a right is refused leaves
  -- nothing that a renewal would not set right.
  redis.call('ZADD', s.z, num(-(s.now + keep_for)), id)
  redis.call('HSET', s.h, '-' .. id, tomb)
  redis.call('HDEL', s.h, '+' .. id, '~' .. id)
  note(s, id, '-' .. id .. '\n' .. tomb, nonce)
end

-- Sets members of an overlay, a JSON object, to JSON values, or takes them out
-- where the value is ''. Returns the overlay, or false when nothing is left.
local function overlay_set(s, id, overlay, members)
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
local function clamp(s)
  s.clamped = true
  local live = redis.call('ZRANGEBYSCORE', s.z, num(s.now), '(+inf', 'WITHSCORES')
  for i = 1, #live, 2 do
    local rec = parse(redis.call('HGET', s.h, '+' .. live[i]))
    local limit = rec and s.now + rec.ttl * 1000
    if rec and tonumber(live[i + 1]) > limit then
      redis.call('ZADD', s.z, num(limit), live[i])
    end
  end
end

-- Every script that writes prunes before it acts, so a renewal after the expiry is a visible change.
local function prune(s)
  if not s.exists then return end
  if s.now < s.seen then clamp(s) end
  local ended = redis.call('ZRANGEBYSCORE', s.z, '(' .. num(-s.now), '(' .. num(s.now), 'WITHSCORES')
  for i = 1, #ended, 2 do
    local id = ended[i]
    local lived = string.sub(ended[i + 1], 1, 1) ~= '-'
    local rec = lived and parse(redis.call('HGET', s.h, '+' .. id))
    if not lived then
      redis.call('HDEL', s.h, '-' .. id)
      redis.call('ZREM', s.z, id)
    elseif rec then
      bury(s, id, 'expired', rec.stamp, rec.owner, '0', rec.flag, rec.flag == '1' and FOREIGN or OUTLIVE)
    else
      redis.call('ZREM', s.z, id) -- not ours to read, so not ours to delete
    end
  end
end

-- Numbers and publishes what changed.
local function commit(s)
  local prev, entries, parts = s.rev, {}, {}
  local count = #s.changed
  for i, id in ipairs(s.changed) do
    s.n = s.n + 1
    s.rev = num(s.n) .. '.' .. s.nonces[id]
    entries[count - i + 1] = s.rev .. ' ' .. id .. '\n'
    parts[i] = s.message[id]
  end
  if count == 0 and s.exists then
    redis.call('HSET', s.h, 'seen', num(s.now))
    return
  end
  if count == 0 then
    s.rev = num(s.n) .. '.' .. s.nonce
  end
  local log = table.concat(entries) .. log_of(s)
  if #log > LOG_BYTES then
    -- At the end of a line, of which none is longer than ENTRY_BYTES. A pattern
    -- would look at every byte.
    log = string.sub(log, 1, string.find(log, '\n', LOG_BYTES - ENTRY_BYTES, true))
  end
  redis.call('HSET', s.h, 'rev', s.rev, 'stamp', num(s.stamp), 'seen', num(s.now), 'log', log)
  if not s.exists then
    -- A member this long makes Redis keep the set as a skip list for good. As a
    -- compact list, which it is for up to 128 members otherwise, each renewal
    -- would walk over all of them.
    redis.call('ZADD', s.z, '+inf', '', '+inf', LONG)
    redis.call('ZREM', s.z, LONG)
  end
  local body = table.concat(parts, '\n')
  if #body > MESSAGE_BYTES then body = '' end
  redis.call('PUBLISH', s.channel, prev .. '\n' .. s.rev .. '\n' .. num(s.now) .. '\n' .. body)
end

-- Whether a reply says that the key is of another type. Something else in the
-- place of the catalog or of a hint costs what these are good for, not the service.
local function stray(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err) end
  return true
end

-- The catalog: a sorted set of service names, scored with the end of their
-- longest lease, or with minus the end of the evidence that they are gone.
local function catalog_set(key, now, name, expiry)
  local score = redis.pcall('ZSCORE', key, name)
  if stray(score) then return end
  local was = tonumber(score or nil)
  local lived = was and was >= now
  if expiry then
    redis.call('ZADD', key, num(expiry), name)
  elseif was then
    redis.call('ZADD', key, num(-(now + OUTLIVE)), name)
  else
    return
  end
  redis.call('PEXPIREAT', key, num(math.ceil((now + 25 * HOUR) / 1000)))
  if (expiry ~= nil) ~= (lived == true) then
    redis.call('ZREMRANGEBYSCORE', key, '(' .. num(-now), '(' .. num(now - OUTLIVE))
    redis.call('PUBLISH', key .. ':c', num(now))
  end
end

-- Where IDs that were chosen by users stand, by hash buckets: id -> "end service".
local function hint_set(key, now, id, service)
  if stray(redis.pcall('HLEN', key)) then return end
  redis.call('HSET', key, id, num(math.floor((now + 24 * HOUR) / 1000000)) .. ' ' .. service)
  redis.call('PEXPIREAT', key, num(math.ceil((now + 25 * HOUR) / 1000)))
  if redis.call('HLEN', key) % 64 == 0 then
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      local ends = tonumber(string.match(all[i + 1], '^%d+') or 0)
      if ends * 1000000 < now then redis.call('HDEL', key, all[i]) end
    end
  end
end

local function hint_get(key, id)
  local v = redis.pcall('HGET', key, id)
  return v and not stray(v) and string.match(v, '^%d+ (.*)$')
end
