-- A passdb and a userdb for Dovecot 2.3 and 2.4 that ask saslpy over HTTP. lua-2.3.conf and lua-2.4.conf say how Dovecot
-- is told of it; Debian's package is dovecot-auth-lua. For /etc/dovecot/saslpy.lua.
--
-- What saslpy cannot find out is a temporary failure here, too, and so is everything that goes wrong on the way.

local URL = "http://127.0.0.1:9080"        -- [[listen]] protocol = "http", address
local SECRET = "/etc/dovecot/saslpy.secret" -- what its secret_file holds; root:dovecot, 0640
local VERSION = "2.3"                       -- of Dovecot: "2.3" or "2.4"

-- saslpy answers within its deadline, 8 seconds
local HTTP = {
  ["2.3"] = { request_timeout_msecs = 10000, connect_timeout_msecs = 2000, max_attempts = 1 },
  ["2.4"] = { request_timeout = "10s", connect_timeout = "2s", request_max_attempts = "1" },
}

local secret = ""
local client

function script_init()
  local file = assert(io.open(SECRET))
  secret = file:read("l") or ""
  file:close()
  client = dovecot.http.client(HTTP[VERSION])
  return 0
end

-- JSON: texts out, anything in

local function quoted(text)
  text = text:gsub('[%c"\\\127]', function(char) return string.format("\\u%04x", char:byte()) end)
  if not utf8.len(text) then -- bytes that are not UTF-8, as Python writes them in a text
    text = text:gsub("[\128-\255]", function(char) return string.format("\\udc%02x", char:byte()) end)
  end
  return '"' .. text .. '"'
end

local function object(fields)
  local parts = {}
  for name, text in pairs(fields) do
    parts[#parts + 1] = quoted(name) .. ":" .. quoted(text)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local SHORT = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local value

local function text_at(json, at) -- behind the first quote
  local parts = {}
  while true do
    local stop = json:find('["\\]', at)
    if not stop then error("a text without an end") end
    parts[#parts + 1] = json:sub(at, stop - 1)
    if json:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
    local code = json:match("^u(%x%x%x%x)", stop + 1)
    if code then
      local number, low = tonumber(code, 16), json:match("^\\u([dD][c-fC-F]%x%x)", stop + 6)
      at = stop + 6
      if number >= 0xd800 and number < 0xdc00 and low then
        number, at = 0x10000 + (number - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00, at + 6
      end
      parts[#parts + 1] = utf8.char(number)
    else
      local char = json:sub(stop + 1, stop + 1)
      parts[#parts + 1], at = SHORT[char] or char, stop + 2
    end
  end
end

local function items_at(json, at, last, one) -- what stands between brackets
  at = json:match("^%s*()", at)
  if json:sub(at, at) == last then return at + 1 end
  while true do
    at = json:match("^%s*()", one(at))
    local char = json:sub(at, at)
    at = at + 1
    if char == last then return at end
    if char ~= "," then error("a comma is missing") end
  end
end

function value(json, at)
  at = json:match("^%s*()", at)
  local char, found = json:sub(at, at), {}
  if char == '"' then return text_at(json, at + 1) end
  if char == "[" then
    return found, items_at(json, at + 1, "]", function(from)
      local item, behind = value(json, from)
      found[#found + 1] = item
      return behind
    end)
  end
  if char == "{" then
    return found, items_at(json, at + 1, "}", function(from)
      local name, behind = value(json, from)
      behind = json:match("^%s*:()", behind)
      found[name], behind = value(json, behind)
      return behind
    end)
  end
  local word, behind = json:match("^([%w.+-]+)()", at)
  return tonumber(word) or word, behind
end

-- questions

local function ask(path, fields)
  local request = client:request({ url = URL .. path, method = "POST" })
  request:add_header("Content-Type", "application/json")
  request:add_header("X-Auth-Key", secret)
  request:set_payload(object(fields))
  local response = request:submit()
  local status = response:status()
  if status ~= 200 and status ~= 403 then return status, {} end
  local fine, answer = pcall(value, response:payload(), 1)
  if not fine or type(answer) ~= "table" then return 0, {} end
  return status, answer
end

-- 2.4 has other names for them

local function service_of(req)
  if VERSION == "2.3" then return req.service or "" end
  return req.protocol or ""
end

local function client_of(req)
  if VERSION == "2.3" then return req.rip or "" end
  return req.remote_ip or ""
end

-- Dovecot's userdb fields of an account, a table of texts
local function fields_of(answer)
  local fields = { user = answer.login }
  for _, field in ipairs(answer.userdb or {}) do
    local name, text = field:match("^([^=]+)=(.*)$")
    if name then
      fields[name] = text:gsub("\1(.)", { ["0"] = "\0", ["1"] = "\1", t = "\t", r = "\r", n = "\n" })
    end
  end
  return fields
end

function auth_password_verify(req, password)
  local status, answer = ask("/login", {
    login = req.user, password = password, service = service_of(req), client = client_of(req),
  })
  if status == 200 then
    return dovecot.auth.PASSDB_RESULT_OK, { user = answer.login }
  elseif status ~= 403 or answer.verdict ~= "reject" then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "saslpy: " .. status
  elseif answer.reason == "disabled" then
    return dovecot.auth.PASSDB_RESULT_USER_DISABLED, "disabled"
  elseif answer.reason == "expired" then
    return dovecot.auth.PASSDB_RESULT_PASS_EXPIRED, "expired"
  end
  return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, "no"
end

function auth_userdb_lookup(req)
  local status, answer = ask("/user", { login = req.user, service = service_of(req), userdb = VERSION })
  if status == 200 then
    return dovecot.auth.USERDB_RESULT_OK, fields_of(answer)
  elseif status == 403 and answer.verdict == "reject" then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, "no such user"
  end
  return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, "saslpy: " .. status
end
