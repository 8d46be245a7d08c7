"""Courier's own authdaemond and ours are asked the same, and answer the same; and where they do not, and why."""

from __future__ import annotations

import base64
import hmac
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from saslpy.protocols.authdaemon import encode_auth, encode_login

from ..real import need
from ..real.courier import authdaemond
from ..real.saslpy import configured, folder, serving

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="namespaces want root"),
]

LISTEN = '[[listen]]\nprotocol = "authdaemon"\npath = "authdaemon"\nmechanisms = ["PLAIN", "CRAM-MD5"]\n'
USERDB = """\
joe\tsystempw={hash}|uid=65534|gid=65534|home=/srv/joe|mail=/srv/joe/Maildir|quota=1000S|gecos=Joe Doe|options=a=1,b=2
ann\tsystempw={hash}|uid=65534|gid=65534|home=/srv/ann|hmac-md5pw={hmac}
"""
STATIC = """\
[backend.local]
type = "static"
[backend.local.account]
uid = 65534
gid = 65534
[backend.local.users]
joe = {{ password = "{{CRYPT}}{hash}", home = "/srv/joe", maildir = "/srv/joe/Maildir", quota = "1000S", name = "Joe Doe", \
options = {{ a = "1", b = "2" }} }}
ann = {{ password = "{{PLAIN}}secret", home = "/srv/ann" }}
"""
HASH = "$1$GWDmXHJw$qD9sKlFjUvFcnOV8foXRh1"  # secret


def auth(body: bytes, count: bytes | None = None) -> bytes:
    return b"AUTH %b\n%b" % (b"%d" % len(body) if count is None else count, body)


def cram(user: str, password: str, sep: str = " ") -> bytes:
    proof = hmac.new(password.encode(), b"<1@x>", "md5").hexdigest()
    response = (user + sep + proof).encode()
    return encode_auth(b"imap", b"cram-md5", b"PDFAeD4=\n%b\n" % base64.b64encode(response))


LOGIN_JOE = b"imap\nlogin\njoe\nsecret\n"
QUESTIONS = [
    # PRE
    b"PRE . login joe\n",
    b"PRE . login ann\n",
    b"PRE . login nobody\n",
    b"PRE authmysql login joe\n",
    b"PRE  .   login   joe\n",
    b"PRE . login joe \n",
    b"PRE . login joe\r\n",
    b"PRE . login \n",
    b"PRE . login\n",
    b"PRE .\n",
    b"PRE\n",
    b"PRE\t.\tlogin\tjoe\n",
    b"pre . login joe\n",
    b" PRE . login joe\n",
    b"PRE . login jo=e\n",
    b"PRE . l=ogin joe\n",
    b"PRE . login joe\nPRE . login ann\n",
    # metadata
    b"TCPREMOTEIP=192.0.2.7\nPRE . login joe\n",
    b"X=1\nY=\n=\nPRE . login joe\n",
    b"PRE=1 . login joe\nPRE . login joe\n",
    b"A B=1\nPRE . login joe\n",
    b"\nPRE . login joe\n",
    # AUTH, and how many bytes
    encode_login(b"imap", b"joe", b"secret", b"192.0.2.7"),
    encode_login(b"imap", b"joe", b"wrong"),
    encode_login(b"imap", b"nobody", b"secret"),
    encode_login(b"imap", b"", b"secret"),
    encode_login(b"imap", b"joe", b""),
    encode_login(b"", b"joe", b"secret"),
    auth(LOGIN_JOE[:-1]),
    auth(LOGIN_JOE + b"beyond", b"%d" % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"%d " % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"  +%d" % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"%d of them" % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"-1"),
    auth(LOGIN_JOE, b"many"),
    auth(LOGIN_JOE, b"8192"),
    auth(b"x" * 8191),
    auth(b"imap\nlogin\njoe\n"),
    auth(b"imap\nlogin\n"),
    auth(b"imap\n"),
    auth(b""),
    auth(b"imap\npam\njoe\nsecret\n"),
    auth(b"imap\nLOGIN\njoe\nsecret\n"),
    auth(b"imap\n\nlogin\njoe\nsecret\n"),
    cram("ann", "secret"),
    cram("ann", "wrong"),
    cram("ann", "secret", ""),
    cram("nobody", "secret"),
    encode_auth(b"imap", b"cram-md5", b"PDFAeD4=\n!!!\n"),
    encode_auth(b"imap", b"cram-md5", b"PDFAeD4=\n"),
    # PASSWD
    b"PASSWD imap\tjoe\twrong\tnew\n",
    b"PASSWD imap\tjoe\twrong\tnew\t\n",
    b"PASSWD imap\tjoe\twrong\tnew\tmore\n",
    b"PASSWD imap\tjoe\twro\x01ng\tnew\n",
    b"PASSWD imap\t\twrong\tnew\n",
    b"PASSWD imap\tjoe\twrong\n",
    b"PASSWD imap joe wrong new\n",
    # and the rest
    b"ENUMERATE\n",
    b"ENUMERATE of what\n",
    b"QUIT\n",
    b"\n",
    b"PRE . login " + b"x" * 8178 + b"\n",
    b"PRE . login " + b"x" * 8179 + b"\n",
    b"PRE . login " + b"x" * 20_000 + b"\n",
]
DIFFERENT = {
    # the line feeds are the password's: authdaemond forgets them, and what comes after them
    auth(b"imap\nlogin\njoe\nsecret\n\n"): b"FAIL\n",
    auth(b"imap\nlogin\njoe\nsecret\nmore\n"): b"FAIL\n",
    # a name or a password is no shorter for a NUL
    auth(b"imap\nlogin\njoe\nsecret\0more\n"): b"FAIL\n",
    b"PRE . login joe\0more\n": b"FAIL\n",
    # an empty name is none, and not the line behind it
    auth(b"imap\nlogin\n\njoe\nsecret\n"): b"FAIL\n",
}


def answer_of(path: Path, question: bytes) -> bytes:
    """What a socket answers, without what is secret, and without the name that stands above a list."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        data = b""
        with suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(question)
            sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65_536):
                data += more
    lines = [line for line in data.splitlines(True) if not line.startswith((b"PASSWD", b"# "))]
    return b"".join(sorted(lines) if question.startswith(b"ENUM") else lines)  # in the order of their database


def test_the_same_answers() -> None:
    hashed = subprocess.run(
        [need("userdbpw", package="courier-authlib-userdb"), "-hmac-md5"],
        input=b"secret\n",
        capture_output=True,
        check=True,
    )
    users = USERDB.format(hash=HASH, hmac=hashed.stdout.decode().strip())
    with folder() as place, authdaemond(place, users) as theirs:
        config = configured(place, STATIC.format(hash=HASH), "min_seconds = 0\n", LISTEN)
        ours = place / "authdaemon"
        with serving(config):
            for question in QUESTIONS:
                assert answer_of(ours, question) == answer_of(theirs, question), question
            for question, answer in DIFFERENT.items():
                assert answer_of(ours, question) == answer, question
                assert answer_of(theirs, question).startswith(b"UID="), question
