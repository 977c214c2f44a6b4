-- Fencing: which of two writes of one ID stands, by the table of DESIGN.md. Here are
-- its rows and the column move. The other columns are in the scripts of their calls:
-- REGISTER and REREGISTER in put.lua, RENEW in renew.lua, DEREGISTER in remove.lua.
-- TestFencingTable compares all of it with DESIGN.md.

-- Of two owners' registrations of one ID the one with the greater registration
-- time is newer; at the same time, that of the greater owner ID.
local function newer(stamp, owner, than_stamp, than_owner)
  return stamp > than_stamp or (stamp == than_stamp and owner > than_owner)
end

-- Returns the row for a call with number seq of owner. stamp is the time of the call's
-- registration, 0 if it has none: then other owners' registrations count as newer. rec
-- and tomb are the parsed record and tombstone, of which at most one exists.
local function situation_of(owner, seq, stamp, rec, tomb)
  if rec then
    if rec.owner ~= owner then
      return newer(rec.stamp, rec.owner, stamp, owner) and "other's newer record" or "other's older record"
    end
    local at = tonumber(rec.seq)
    return at > seq and 'own record, later call' or at == seq and 'own record, same call' or 'own record, earlier call'
  end
  if not tomb then return 'nothing' end
  if tomb.owner ~= owner then
    return (newer(tomb.stamp, tomb.owner, stamp, owner) and "other's newer " or "other's older ") .. tomb.reason
  end
  if tomb.reason == 'left' then
    if tomb.seq >= seq then return 'own left, later or same call' end
    return tomb.stamp >= stamp and 'own left, earlier call' or 'own left, earlier call, older'
  end
  if tomb.reason == 'moved' then
    return tomb.seq >= seq and 'own moved, later or same call' or 'own moved, earlier call'
  end
  return tomb.seq > seq and 'own expired, later call' or tomb.seq == seq and 'own expired, same call' or 'own expired, earlier call'
end

-- The column move: what a registration of the ID in another service does here.
local MOVE = {
  ['own record, earlier call'] = 'end',
  ["other's older record"] = 'end',
  ['own expired, earlier call'] = 'end',
  ["other's older expired"] = 'end',
}

-- Ends the record of an ID here, because the ID is registered in another service since
-- stamp. That may be earlier than the time of this record, after a move that failed: the
-- tombstone has the later of both, so that it is evidence for what it ends.
-- by: who registered it there; to: that service.
local function end_as_moved(s, id, before, stamp, owner, seq, by, to, nonce)
  local flag = (before.owner ~= owner or before.flag == '1') and '1' or '0'
  if before.ttl then count_owner(s, before.owner, -1) end -- a record
  put_tombstone(s, id, event('m', s.at, by, to), 'moved', math.max(stamp, before.stamp), owner, seq, flag, nonce)
end
