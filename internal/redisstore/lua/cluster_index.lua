-- Updates the catalog or a bucket of the ID index on a Cluster, where they are in slots of
-- their own.
-- KEYS  names, or an ids bucket
-- ARGV  catalog, deadline, then per service: name, lease's length in ms, or 0 when its last instance ended
--       ids, deadline, then per ID: id, service
-- Answers {now, 'ok' or 'late' (nothing was done)}, and per ID the last other service in its
-- entry, or ''. A call whose answer was lost learns it when it is sent again.
local now = server_time()
if now > tonumber(ARGV[2]) then return {num(now), 'late'} end
if ARGV[1] == 'catalog' then
  for i = 3, #ARGV, 2 do
    local ms = tonumber(ARGV[i + 1])
    local was = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0)
    local expiry = now + ms * 1000
    if ms == 0 then expiry = nil elseif was > expiry and was <= now + 24 * HOUR then expiry = was end
    update_catalog(KEYS[1], now, ARGV[i], expiry)
  end
else
  local out = {num(now), 'ok'}
  for i = 3, #ARGV, 2 do
    local id, service = ARGV[i], ARGV[i + 1]
    local before, other = index_get(KEYS[1], id), '\n\n' .. id -- a field that is neither an ID nor a nonce
    if before and before ~= service then
      index_put(KEYS[1], now, other, HOUR, before)
    else
      before = index_get(KEYS[1], other)
    end
    out[#out + 1] = before or ''
    index_set(KEYS[1], now, id, service)
  end
  return out
end
return {num(now), 'ok'}
