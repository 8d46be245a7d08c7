"""Courier's authdaemon protocol (courier-authlib 0.71, authdaemond and libcourierauth): both sides, without I/O.

One request and one reply a connection, text, no greeting; the server closes right after the reply. A CR belongs to what it
stands in::

    request  := *metadata command
    metadata := name "=" value LF               a line with a "=" before any blank; TCPREMOTEIP is the one in use
    command  := "PRE" SP module SP service SP user LF                   an account without its password
              | "AUTH" SP n LF  n bytes: service LF type LF data         "login": user LF password [LF]
                                                        "cram-md5", -sha1, -sha256: base64 LF base64 [LF]
              | "PASSWD" SP service TAB user TAB old TAB new [TAB] LF
              | "ENUMERATE" LF
    reply    := *(NAME "=" value LF) "." LF     yes, to PRE and AUTH: the account
              | "FAIL" LF                       no
              | "OK" LF                         yes, to PASSWD
              | "# " text LF LF *(user TAB uid TAB gid TAB home TAB maildir TAB options LF) "." LF     to ENUMERATE
              |                                 nothing: could not find out

Courier's clients read a hang-up as EIO, and no other word as that: courier-imap says "temporary problem", authtest
"Input/output error", libsasl2 SASL_FAIL. libsasl2 counts all but its last LF, and reads to the end of the stream.
"""

from __future__ import annotations

from .replies import (
    FAIL,
    MANDATORY,
    OK,
    Unsayable,
    account_reply,
    decode_reply,
    listing_end,
    listing_line,
    listing_start,
    missing,
)
from .requests import (
    ChangePassword,
    Cram,
    Enumerate,
    Find,
    Password,
    Refused,
    Request,
    RequestReader,
    encode_auth,
    encode_login,
)

__all__ = [
    "FAIL",
    "MANDATORY",
    "OK",
    "ChangePassword",
    "Cram",
    "Enumerate",
    "Find",
    "Password",
    "Refused",
    "Request",
    "RequestReader",
    "Unsayable",
    "account_reply",
    "decode_reply",
    "encode_auth",
    "encode_login",
    "listing_end",
    "listing_line",
    "listing_start",
    "missing",
]
