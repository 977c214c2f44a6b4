-- Counts the processes that watch a service and have not acknowledged a revision. Writes nothing.
-- KEYS  base:w base:h
-- ARGV  number of the revision, ID of the instance whose overlay was patched at it
-- Answers {now, count, 1 if Redis kept its memory of the service since that revision, else 0,
-- end of the longest lease of those counted or '', since when Redis has its memory of the
-- service or '', 1 if the instance was registered before that, else 0}.
local now = server_time()
local lagging, longest = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do
  local ends, acknowledged = string.match(all[i], '^(%d+) (%d+)$')
  if ends and string.sub(all[i - 1], -1) ~= '#' and tonumber(ends) >= now and tonumber(acknowledged) < tonumber(ARGV[1]) then
    lagging = lagging + 1
    longest = math.max(longest, tonumber(ends))
  end
end
local h = redis.call('HMGET', KEYS[2], 'rev', 'since', '+' .. ARGV[2])
local rev = tonumber(string.match(h[1] or '', '^%d+'))
local rec = parse_record(h[3])
return {num(now), lagging, rev and rev >= tonumber(ARGV[1]) and 1 or 0, longest > 0 and num(longest) or '', h[2] or '',
  rec and h[2] and rec.stamp < tonumber(h[2]) and 1 or 0}
