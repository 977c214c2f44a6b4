-- Finds IDs in all services of a standalone server. Changes nothing.
-- KEYS  names
-- ARGV  prefix, the IDs as a MessagePack array
-- Answers {now, per ID: the service in which it is live, or else one in which it expired, or ''}.
local prefix, wanted = ARGV[1], cmsgpack.unpack(ARGV[2])
local now = server_time()
local names = redis.call('ZRANGE', KEYS[1], 0, -1)
local live, expired = {}, {}

local function note_found(name, base, id, score)
  if score >= now then
    live[id] = name
  elseif score > 0 or string.sub(redis.call('HGET', base .. ':h', '-' .. id) or '', 1, 9) == '["expired' then
    expired[id] = name
  end
end

-- For many IDs in many services it is faster to read all members.
local all, is_wanted = #wanted * #names > 10000, {}
for _, id in ipairs(wanted) do is_wanted[id] = true end
for _, name in ipairs(names) do
  local base = prefix .. '{' .. escape_service(name) .. '}'
  if all then
    local members = redis.pcall('ZRANGE', base .. ':z', 0, -1, 'WITHSCORES')
    if not is_foreign(members) then
      for i = 1, #members, 2 do
        if is_wanted[members[i]] then note_found(name, base, members[i], tonumber(members[i + 1])) end
      end
    end
  else
    for _, id in ipairs(wanted) do
      local score = redis.pcall('ZSCORE', base .. ':z', id)
      if score and not is_foreign(score) then note_found(name, base, id, tonumber(score)) end
    end
  end
end
local out, missing = {num(now)}, false
for i, id in ipairs(wanted) do
  out[i + 1] = live[id] or expired[id] or ''
  missing = missing or out[i + 1] == ''
end
if missing then refuse_replica(function() redis.call('ZREM', KEYS[1], '') end) end
return out
