local redis = (function(server, keys)
  local declared, keyless = {}, {PUBLISH = true, TIME = true, PING = true}
  for _, key in ipairs(keys) do declared[key] = true end
  local function undeclared(command, ...)
    command = string.upper(command)
    if keyless[command] then return nil end
    for i = 1, command == 'DEL' and select('#', ...) or 1 do
      local key = select(i, ...)
      if not declared[key] then return 'ERR script touches an undeclared key: ' .. tostring(key) end
    end
    return nil
  end
  local function call(...)
    local refused = undeclared(...)
    if refused then error(refused, 0) end
    return server.call(...)
  end
  local function pcall(...)
    local refused = undeclared(...)
    if refused then return server.error_reply(refused) end
    return server.pcall(...)
  end
  return setmetatable({call = call, pcall = pcall}, {__index = server})
end)(redis, KEYS)
