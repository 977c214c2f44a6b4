-- Shared by the scripts that look for an ID in several services, which is one step only
-- on a standalone server.

-- Service names inside a key's hash tag: % { } are written %25 %7B %7D.
local function escape_service(name)
  return (string.gsub(name, '[%%{}]', {['%'] = '%25', ['{'] = '%7B', ['}'] = '%7D'}))
end

-- The base and name of the service in which id is live, or else of one in which it has
-- a record past its expiry or a tombstone. Nil when there is none. ids is its bucket of
-- the ID index, or nil. If the index does not say and thorough is set, all services are
-- searched, for live and expired records only.
local function find_id(prefix, names, ids, id, now, thorough)
  local function score_in(base)
    local score = redis.pcall('ZSCORE', base .. ':z', id)
    if is_foreign(score) then return nil end
    return tonumber(score or nil)
  end
  local function base_of(service) return prefix .. '{' .. escape_service(service) .. '}' end
  local indexed = ids and index_get(ids, id)
  local score = indexed and score_in(base_of(indexed))
  if score and (score >= now or not thorough) then return base_of(indexed), indexed end
  if not thorough then return nil end
  local trace = score and indexed
  for _, name in ipairs(redis.call('ZRANGE', names, 0, -1)) do
    local base = base_of(name)
    score = score_in(base)
    if score and score >= now then return base, name end
    if score and not trace and (score > 0
      or string.sub(redis.call('HGET', base .. ':h', '-' .. id) or '', 1, 9) == '["expired') then
      trace = name
    end
  end
  if trace then return base_of(trace), trace end
  return nil
end

-- The service in which a call that names no service took effect before, or nil. The ID
-- may be registered in another service since, whose log does not have the call.
local function service_of_done_call(ids, nonce)
  return index_get(ids, '\n' .. nonce) or nil
end

-- Records that it did, for as long as it may be sent again. No ID has a newline.
local function note_done_call(ids, now, nonce, service)
  index_put(ids, now, '\n' .. nonce, MINUTE, service)
end

-- Fails on a replica, as write then does, which changes nothing. A replica may not have
-- what its primary has, so what is not there is no proof that there is none. Any other
-- refusal is no reason to fail.
local function refuse_replica(write)
  local fine, err = pcall(write)
  if fine then return end
  if type(err) == 'table' then err = err.err end
  if string.find(tostring(err), 'READONLY', 1, true) then write() end
end
