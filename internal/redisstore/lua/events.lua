-- Reads what is remembered of a service's changes. Like read, it removes what has expired if
-- the server accepts writes: only then is the end of a lease an event.
-- KEYS  base:h base:z [names: only on a standalone server]
-- ARGV  owner seq service; mode: collect (as above) or look (write nothing: the user has no right to)
-- Answers {now, rev, the log, the events of its entries, the members of tombstones and of events
-- of removals with their scores, the values of their fields}.
local h, z = KEYS[1], KEYS[2]
local now = server_time()
if not redis.call('HGET', h, 'rev') or not redis.call('ZSCORE', z, '') then return {num(now), '', {}, {}, {}, {}} end

if ARGV[4] == 'collect' and #redis.call('ZRANGEBYSCORE', z, '0', '(' .. num(now), 'LIMIT', 0, 1) > 0 then
  refusal_of(function()
    local s = open_service(string.sub(h, 1, -3), now, ARGV[1] .. ':' .. ARGV[2])
    renew_key(s)
    remove_expired(s)
    commit(s)
    if KEYS[3] then update_catalog(KEYS[3], now, ARGV[3], longest_lease(s)) end
  end)
end

local entries, events = {}, {}
for i = 1, LOG do entries[i] = '@' .. i - 1 end
for i = 1, EVENTS do events[i] = '=' .. i - 1 end
local ended = with_score_texts(redis.call('ZRANGEBYSCORE', z, '-inf', '(0', 'WITHSCORES'))
local values = {}
for from = 1, #ended, 8000 do
  local fields = {}
  for i = from, math.min(from + 7998, #ended), 2 do fields[#fields + 1] = '-' .. ended[i] end
  for _, v in ipairs(redis.call('HMGET', h, unpack(fields))) do values[#values + 1] = v or '' end
end
return {num(now), redis.call('HGET', h, 'rev'), redis.call('HMGET', h, unpack(entries)), redis.call('HMGET', h, unpack(events)),
  ended, values}
