-- Sets members of a record's overlay. The record may be another owner's.
-- KEYS  base:h base:z [names ids : only on a standalone server];
--       names instead of base:h and base:z when the service is to be looked for
-- ARGV  owner seq service prefix id deadline, the event: its letter, the name of the caller and a
--       note, for people; then per member: name, JSON value or '' to remove it
-- Answers {now, rev, outcome, service, overlay or ''}.
-- Outcomes: ok, same (nothing changed), none (no such instance), late (nothing was done).
local owner, seq, service, prefix, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local names, ids = KEYS[3], KEYS[4]
local now = server_time()
if now > tonumber(ARGV[6]) then return {num(now), '', 'late', service, ''} end
local members = {}
for i = 10, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then cjson.decode(ARGV[i + 1]) end
  members[ARGV[i]] = ARGV[i + 1]
end
local base = string.sub(KEYS[1], 1, -3)
local by_id = KEYS[1] == names
if by_id then
  local done = service_of_done_call(ids, owner .. ':' .. seq)
  if done then return {num(now), '', 'ok', done, ''} end
  base, service = find_id(prefix, names, ids, id, now, true)
  if not base then
    refuse_replica(function() redis.call('HDEL', ids, '') end)
    return {num(now), '', 'none', '', ''}
  end
end
local s = open_service(base, now, owner .. ':' .. seq)
if not s.exists then
  refuse_replica(function() redis.call('HDEL', s.h, '') end)
  return {num(now), '', 'none', service, ''}
end
redis.call('HSET', s.h, 'seen', s.at) -- a server out of memory refuses this
remove_expired(s)
local v = redis.call('HGET', s.h, '+' .. id)
local score = redis.call('ZSCORE', s.z, id)
local outcome, overlay = 'none', ''
if parse_record(v) and score then
  local was = redis.call('HGET', s.h, '~' .. id)
  if took_effect(s, s.nonce) then
    outcome, overlay = 'ok', was or ''
  else
    overlay = patch_overlay(s, id, was, members) or ''
    outcome = overlay == (was or '') and 'same' or 'ok'
    if outcome == 'ok' then note_change(s, id, s.nonce, event(ARGV[7], s.at, ARGV[8], ARGV[9]), '+' .. id, num(tonumber(score)), v, overlay) end
  end
end
if by_id and outcome ~= 'none' then note_done_call(ids, now, s.nonce, service) end
commit(s)
if names then update_catalog(names, now, service, longest_lease(s)) end
return {num(now), s.rev, outcome, service, overlay}
