-- Ends one record and buries it.
-- KEYS  base:h base:z [names ids : only on a standalone server];
--       names instead of base:h and base:z when the service is to be looked for
-- ARGV  owner seq service prefix id deadline mode stamp
--       mode own: the caller holds it since stamp; any: whoever holds it;
--       moved: the caller registered the ID elsewhere with stamp
-- Answers {now, rev, outcome, service, end of the longest lease left or ''}.
-- Outcomes: ok, none (nothing to end), late (nothing was done).
local owner, seq, service, prefix, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local mode, stamp = ARGV[7], tonumber(ARGV[8])
local names, ids = KEYS[3], KEYS[4]
local now = clock()
if now > tonumber(ARGV[6]) then return {num(now), '', 'late', service, ''} end
local base = string.sub(KEYS[1], 1, -3)
if KEYS[1] == names then
  base, service = find(prefix, escape, names, ids, id, now, true)
  if not base then return {num(now), '', 'none', '', ''} end
end
local s = open(base, now, owner .. ':' .. seq)
touch(s)
prune(s)
local cur = parse(redis.call('HGET', s.h, '+' .. id))
local tomb = not cur and parse_tomb(redis.call('HGET', s.h, '-' .. id))
local outcome = 'none'
-- An own one that ran before has left what shows it.
if mode == 'own' or not ran(s, s.nonce) then
  local mine = {stamp = stamp, owner = owner}
  -- Of one owner's calls the later stands, in whatever order they arrive.
  local older = cur and ((cur.owner == owner and tonumber(cur.seq) < tonumber(seq))
    or (cur.owner ~= owner and newer(mine, cur)))
  -- The trace of a newer owner stands: he may only have been held up past his TTL.
  local his = tomb and tomb.owner ~= owner and newer(tomb, mine)
  if mode == 'own' then
    if older or (not cur and not his) then
      -- Buried even when it is not there, so that no late healing brings it back.
      if not tomb or tomb.stamp < stamp or tomb.reason == 'expired' then
        local flag = (cur or tomb or {flag = '0'}).flag
        bury(s, id, 'left', math.max(stamp, (cur or tomb or {stamp = 0}).stamp), owner, seq, flag,
          flag == '1' and FOREIGN or OUTLIVE)
      end
      if cur then outcome = 'ok' end
    end
  elseif cur and mode == 'any' then
    bury(s, id, 'left', cur.stamp, cur.owner, '0', '1', FOREIGN)
    outcome = 'ok'
  elseif mode == 'moved' and older then
    bury(s, id, 'moved', stamp, owner, seq, '1', cur.owner == owner and OUTLIVE or FOREIGN)
    outcome = 'ok'
  end
end
local left = top(s)
if s.exists or s.nnotes > 0 then
  commit(s)
  if names then
    catalog_set(names, now, service, left)
    -- It may stand elsewhere by now, or here as a newer owner's.
    if hint_get(ids, id) == service and (not cur or outcome == 'ok') then redis.call('HDEL', ids, id) end
  end
end
return {num(now), s.rev, outcome, service, left and num(left) or ''}
