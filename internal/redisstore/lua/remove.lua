-- Ends one record and leaves a tombstone.
-- KEYS  base:h base:z [names ids : only on a standalone server];
--       names instead of base:h and base:z when the ID index says where it is
-- ARGV  owner seq service prefix id deadline mode stamp, the name of the caller, for people, and in
--       mode moved the other service
--       mode own: the caller holds it since stamp; any: of any owner;
--       moved: the caller registered the ID elsewhere with stamp
-- Answers {now, rev, outcome, service, end of the longest lease left or '', own}.
-- Outcomes: ok, none (no record was ended; with no service if it is not where the index
-- says), done (this call by ID took effect before), late (nothing was done). own: '1'
-- if what stands now covers all calls of this owner before this one.
local owner, seq, service, prefix, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local mode, stamp = ARGV[7], tonumber(ARGV[8])
local by, to = ARGV[9] or '', ARGV[10] or ''
local names, ids = KEYS[3], KEYS[4]
local now = server_time()

-- The columns deregister and deregister any of the fencing table.
local DEREGISTER = {
  ['nothing'] = 'end',
  ['own record, earlier call'] = 'end',
  ["other's older record"] = 'end',
  -- Its tombstone stands, and now covers this call as well.
  ['own left, earlier call'] = 'renumber',
  ['own left, earlier call, older'] = 'end',
  ['own expired, earlier call'] = 'end',
  ['own moved, earlier call'] = 'end',
  ["other's older left"] = 'end',
  ["other's older expired"] = 'end',
  ["other's older moved"] = 'end',
}
-- The call has no registration time, so all of other owners are newer.
local DEREGISTER_ANY = {
  ['own record, earlier call'] = 'end',
  ["other's newer record"] = 'end',
  ['own expired, earlier call'] = 'end',
  ["other's newer expired"] = 'end',
}

if now > tonumber(ARGV[6]) then return {num(now), '', 'late', service, '', ''} end
local base, nonce = string.sub(KEYS[1], 1, -3), owner .. ':' .. seq
if KEYS[1] == names then
  local done = service_of_done_call(ids, nonce)
  if done then return {num(now), '', 'done', done, '', ''} end
  base, service = find_id(prefix, names, ids, id, now, false)
  if not base then
    refuse_replica(function() redis.call('HDEL', ids, '') end)
    return {num(now), '', 'none', '', '', ''}
  end
end
local s = open_service(base, now, nonce)
renew_key(s)
remove_expired(s)
local cur = parse_record(redis.call('HGET', s.h, '+' .. id))
local tomb = not cur and parse_tombstone(redis.call('HGET', s.h, '-' .. id))
local before = cur or tomb or {stamp = stamp, owner = owner, flag = '0', seq = '0'}
local row = situation_of(owner, tonumber(seq), mode == 'any' and 0 or stamp, cur, tomb)
local act = mode == 'own' and DEREGISTER[row] or mode == 'moved' and MOVE[row] or mode == 'any' and DEREGISTER_ANY[row] or 'nothing'
-- An own call that took effect before has left a tombstone that shows it.
local done = false
if mode ~= 'own' and (act ~= 'nothing' or not names and mode == 'any' and tomb) and took_effect(s, nonce) then
  act, done = 'nothing', mode == 'any' and not names
end
local flag, covers = before.flag, act ~= 'nothing' and (mode ~= 'any' or before.owner == owner)
if act == 'end' then
  local whose = cur and mode ~= 'moved' and count_owner(s, cur.owner, -1) or ''
  local what = event('d', s.at, by, before.owner ~= owner and whose or '')
  if mode == 'own' then
    if before.owner ~= owner then flag = '1' end
    put_tombstone(s, id, what, 'left', math.max(stamp, before.stamp), owner, seq, flag)
  elseif mode == 'any' then
    flag = '1'
    put_tombstone(s, id, what, 'left', before.stamp, before.owner, before.owner == owner and seq or before.seq, flag)
    if ids then note_done_call(ids, now, nonce, service) end
  else
    end_as_moved(s, id, before, stamp, owner, seq, by, to)
  end
elseif act == 'renumber' then
  set_field(s, '-' .. id, tombstone('left', tomb.stamp, owner, seq, flag))
end
if KEYS[1] == names and act == 'nothing' and not (tomb and tomb.reason == 'left') then service = '' end
local left = longest_lease(s)
if s.exists or s.nchanges > 0 then
  commit(s)
  if names then
    if service ~= '' then update_catalog(names, now, service, left) end
    -- An entry that another owner needs is kept. It may also lead elsewhere by now.
    if flag == '0' and (not cur or act == 'end') and index_get(ids, id) == service then redis.call('HDEL', ids, id) end
  end
end
return {num(now), s.rev, done and 'done' or act == 'end' and cur and 'ok' or 'none', service, left and num(left) or '', covers and '1' or ''}
