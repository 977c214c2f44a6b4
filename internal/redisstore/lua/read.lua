-- Reads a service. The end of a lease is evidence only if the server accepts a write
-- after it: until then the owner may have tried to renew it without success. So a read
-- that finds an ended lease removes it, and one that finds less than its reader knows
-- verifies that writes are accepted. Any other read writes nothing.
-- KEYS  base:h base:z [names: only on a standalone server]
-- ARGV  rev that the reader knows, or ''; owner seq service; mode: collect (as above),
--       prove (verify in any case) or look (write nothing: the user has no right to)
-- Answers {now, rev, kind, when the next lease ends or '', ended, refusal, ...}, kind being
--   none   nothing is stored
--   same   nothing changed
--   delta  then a list, per id that changed: id, record or '', overlay or '', expiry or '', tombstone or ''
--   full   then the whole hash and the whole sorted set
-- refusal is the error of the write, or ''. If it is not '', or the mode is look, no end
-- of a lease is proven: ended lists the leases whose owners had as much time again to
-- renew them, and the others count as ended when that time is over.
local h, z, known, mode = KEYS[1], KEYS[2], ARGV[1], ARGV[5]
local now = server_time()
local base = string.sub(h, 1, -3)
local rev, whole, dead
local function look_up()
  rev = redis.call('HGET', h, 'rev')
  whole = rev and redis.call('ZSCORE', z, '') and true
  dead = whole and redis.call('ZRANGEBYSCORE', z, '0', '(' .. num(now)) or {}
end

-- A write that changes nothing, to a key of this script, with a command that renewals use.
local function write_nothing()
  local life = tonumber(redis.call('HGET', h, 'life') or nil)
  if life and life > now then
    redis.call('PEXPIREAT', h, num(math.ceil(life / 1000))) -- as it is
  elseif redis.call('HLEN', h) == 0 then
    redis.call('PEXPIREAT', h, 1) -- there is none
  else
    redis.call('HDEL', h, '')
  end
end

local proven, refusal = mode == 'look', ''
local function prove_absence()
  if proven then return end
  proven = true
  refusal = refusal_of(function()
    if #dead == 0 then
      write_nothing()
      return
    end
    local s = open_service(base, now, ARGV[2] .. ':' .. ARGV[3])
    renew_key(s)
    remove_expired(s)
    commit(s)
    if KEYS[3] then update_catalog(KEYS[3], now, ARGV[4], longest_lease(s)) end
  end)
  look_up()
end

look_up()
if mode == 'prove' or not whole or #dead > 0 then prove_absence() end

-- The changes since the known revision, or nil when the log does not reach back so far.
local function changes_since_known()
  local from, to = tonumber(string.match(known, '^%d+')), tonumber(string.match(rev, '^%d+'))
  if not from or to - from <= 0 or to - from >= LOG then return nil end
  local slots = {}
  for n = from, to do slots[#slots + 1] = '@' .. n % LOG end
  local log = redis.call('HMGET', h, unpack(slots))
  if string.sub(log[1] or '', 1, #known + 1) ~= known .. ' ' or string.sub(log[#log] or '', 1, #rev + 1) ~= rev .. ' ' then
    return nil
  end
  local items, seen = {}, {}
  for i = #log, 2, -1 do
    local id = log[i] and string.match(log[i], '^' .. num(from + i - 1) .. '%.[^ ]+ (.*)$')
    if not id then return nil end
    if not seen[id] then
      seen[id] = true
      local v = redis.call('HMGET', h, '+' .. id, '~' .. id, '-' .. id)
      items[#items + 1] = id
      items[#items + 1] = v[1] or ''
      items[#items + 1] = v[2] or ''
      items[#items + 1] = score_text(redis.call('ZSCORE', z, id)) or ''
      items[#items + 1] = v[3] or ''
    end
  end
  return items
end

local items = whole and known ~= rev and changes_since_known()
-- The log has every removal since, unless the service was lost in between.
if whole and known ~= rev and known ~= '' and not items then prove_absence() end

if not whole then return {num(now), '', 'none', '', {}, refusal} end
local nearest = tonumber(redis.call('ZRANGEBYSCORE', z, num(now), '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or nil)
local over = {}
for _, id in ipairs(dead) do
  local rec = parse_record(redis.call('HGET', h, '+' .. id))
  if rec then
    local again = tonumber(redis.call('ZSCORE', z, id)) + math.max(rec.ttl, rec.heartbeat + 1000) * 1000
    if again < now then
      over[#over + 1] = id
    else
      nearest = math.min(nearest or again, again)
    end
  end
end
nearest = nearest and num(nearest) or ''
if known == rev then return {num(now), rev, 'same', nearest, over, refusal} end
if items then return {num(now), rev, 'delta', nearest, over, refusal, items} end
return {num(now), rev, 'full', nearest, over, refusal, redis.call('HGETALL', h),
  with_score_texts(redis.call('ZRANGE', z, 0, -1, 'WITHSCORES'))}
