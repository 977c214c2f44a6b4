-- Reads the catalog. The end of a service is evidence only if the server accepts a write
-- after the end of its longest lease, as in read.lua.
-- KEYS  names
-- ARGV  prefix, or '' on a Cluster; mode: collect, or look (write nothing)
-- Answers {now, the whole sorted set, refusal, a time at which the server accepted a write}.
local now = server_time()
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '0', '(' .. num(now), 'WITHSCORES')
local all = with_score_texts(redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'))
local refusal, accepted = '', now
if #dead > 0 and ARGV[2] == 'collect' then
  refusal = refusal_of(function()
    redis.call('PEXPIREAT', KEYS[1], num(math.ceil((now + 25 * HOUR) / 1000))) -- as each write of the catalog does
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '0', num(now - HOUR))
  end)
end
if refusal ~= '' or ARGV[2] == 'look' then
  accepted = 0
  -- On one server an accepted write of any service is enough: those renewed last come first.
  if ARGV[1] ~= '' then
    for _, name in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', '0', 'LIMIT', 0, 16)) do
      local seen = redis.pcall('HGET', ARGV[1] .. '{' .. escape_service(name) .. '}:h', 'seen')
      if type(seen) == 'string' then accepted = math.max(accepted, tonumber(seen)) end
    end
  end
end
return {num(now), all, refusal, num(accepted)}
