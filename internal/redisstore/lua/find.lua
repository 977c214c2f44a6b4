-- Part of the scripts that look for an ID across services, which only one
-- standalone server can do in one step.

-- The base of the service in which id is live, or nil. ids is its bucket of hints, or nil. Scans the catalog when
-- the hint does not say and thorough is set.
local function find(prefix, escape, names, ids, id, now, thorough)
  local function live(base)
    local score = redis.pcall('ZSCORE', base .. ':z', id)
    if stray(score) then return false end
    score = tonumber(score or nil)
    return score and score >= now
  end
  local function base_of(service) return prefix .. '{' .. escape(service) .. '}' end
  local service = ids and hint_get(ids, id)
  if service and live(base_of(service)) then return base_of(service), service end
  if not thorough then return nil end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', names, num(now), '+inf')) do
    if live(base_of(name)) then return base_of(name), name end
  end
  return nil
end

-- Service names inside a key's hash tag: % { } are written %25 %7B %7D.
local function escape(name)
  return (string.gsub(name, '[%%{}]', {['%'] = '%25', ['{'] = '%7B', ['}'] = '%7D'}))
end
