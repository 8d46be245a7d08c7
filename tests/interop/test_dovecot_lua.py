"""contrib/dovecot/saslpy.lua in a Lua of its own, called as either version of Dovecot does it.

``test_dovecot_callers`` has it in a real Dovecot 2.3; there is no 2.4 to run it in.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ..real import need
from ..real.dovecot import CONTRIB

DOVECOT = """
local KNOWN = {
  ["2.3"] = { request_timeout_msecs = "number", connect_timeout_msecs = "number", max_attempts = "number" },
  ["2.4"] = { request_timeout = "string", connect_timeout = "string", request_max_attempts = "string" },
}
dovecot = { http = {}, auth = setmetatable({}, { __index = function(_, name) return name end }) }
local answer, asked
function dovecot.http.client(options)
  for name, value in pairs(options) do
    assert(KNOWN[version][name] == type(value), name .. " is unknown setting")
  end
  local request = {}
  function request:add_header() end
  function request:set_payload(text) asked = text end
  function request:submit()
    return { status = function() return answer[1] end, payload = function() return answer[2] end }
  end
  return { request = function() return request end }
end
local request = { user = "joe@example.org" }
if version == "2.3" then
  request.service, request.rip = "imap", "192.0.2.7"
else
  request.protocol, request.remote_ip = "imap", "192.0.2.7"
end
local open = io.open
function io.open() return { read = function() return "key" end, close = function() end } end
assert(loadfile(arg[1]))()
script_init()
"""
"""As much of Dovecot's side as the script meets. Settings and fields have the names of lib-lua/dlua-dovecot-http.c and
auth/auth-request-var-expand.c (2.3.19 and 2.4.0)."""

CASES = r"""
for _, case in ipairs({
  { 200, '{"verdict":"accept","login":"joe@example.org","userdb":["uid=1000","mail=a\\u0001tb"]}' },
  { 403, '{"verdict":"reject","reason":"wrong-credentials"}' },
  { 403, '{"verdict":"reject","reason":"expired"}' },
  { 403, '{"error":"browsers are not answered"}' },
  { 503, '{"verdict":"defer","reason":"backend-failed"}' },
  { 200, 'no JSON' },
}) do
  answer = case
  print((auth_password_verify(request, "geheim")))
  local result, fields = auth_userdb_lookup(request)
  print(result .. (type(fields) == "table" and " " .. fields.uid .. fields.mail or ""))
end
auth_password_verify(request, "geheim")
print(asked)
"""
LATER = ["PASSDB_RESULT_INTERNAL_FAILURE", "USERDB_RESULT_INTERNAL_FAILURE"]


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_what_it_asks_and_what_it_makes_of_the_answers(version: str, place: Path) -> None:
    shipped, line = (CONTRIB / "saslpy.lua").read_text(), 'local VERSION = "2.3" '
    assert line in shipped
    (place / "saslpy.lua").write_text(shipped.replace(line, f'local VERSION = "{version}" '))
    (place / "caller.lua").write_text(f'local version = "{version}"\n{DOVECOT}{CASES}')
    done = subprocess.run(
        [need("lua5.3", package="lua5.3"), place / "caller.lua", place / "saslpy.lua"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *results, asked = done.stdout.splitlines()
    assert results == [
        *("PASSDB_RESULT_OK", "USERDB_RESULT_OK 1000a\tb"),
        *("PASSDB_RESULT_PASSWORD_MISMATCH", "USERDB_RESULT_USER_UNKNOWN"),
        *("PASSDB_RESULT_PASS_EXPIRED", "USERDB_RESULT_USER_UNKNOWN"),
        *(LATER * 3),
    ]
    assert json.loads(asked) == {
        "login": "joe@example.org",
        "password": "geheim",
        "service": "imap",
        "client": "192.0.2.7",
    }
