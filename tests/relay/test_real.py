"""Real next hops: smtp-sink, Postfix, and Dovecot's LMTP."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trustme

from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.parameters import DeliverBy, MailParameters

from ..real.dovecot import Dovecot
from ..real.postfix import Postfix
from ..real.saslpy import folder
from ..real.sendmail import HOST, Sendmail
from ..real.sink import SmtpSink
from ..real.system import need_root
from .host import ANN, BEN, JOE, bench, kinds, send, to

pytestmark = pytest.mark.real

LONG = b"Subject: x\r\n\r\n" + b"." * 997 + b"\r\n" + b".\r\n..\r\n" + bytes(range(32, 256)) + b"\r\n" * 3


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    need_root()
    with folder() as path:
        yield path


def dumped(place: Path) -> bytes:
    (file,) = place.iterdir()
    return file.read_bytes()


@pytest.mark.parametrize("options", [(), ("-p",), ("-L",), ("-8", "-P")])
async def test_smtp_sink(root: Path, options: tuple[str, ...]) -> None:
    """With and without EHLO, pipelining, 8BITMIME; and speaking LMTP."""
    place = root / f"sink{len(options)}{options[-1:]}"
    place.mkdir()
    os.chown(place, pwd.getpwnam("postfix").pw_uid, -1)
    with SmtpSink(*options, dump=place) as sink:
        scheme = "lmtp:" if "-L" in options else "smtp://"
        async with bench() as here:
            hop = here.hop(f"{scheme}127.0.0.1:{sink.port}")
            envelope = Envelope(JOE.sender, MailParameters(body="8BITMIME"))
            assert kinds((await send(hop, ANN, BEN, envelope=envelope, content=(LONG,)))[1]) == ["Delivered 250"] * 2
    head, _, body = dumped(place).partition(b"\n\n")
    assert b"X-Rcpt-Args: <ben@example.net>" in head
    assert body == LONG.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") + b"\n" * body.endswith(b"\n\n\n\n")


@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "."])
async def test_smtp_sink_that_hangs_up(root: Path, step: str) -> None:
    with SmtpSink("-q", step) as sink:
        async with bench() as here:
            answers, outcomes = await send(here.hop(f"smtp://127.0.0.1:{sink.port}"))
            assert kinds(outcomes or answers)[0].startswith("Deferred")


async def test_postfix(root: Path) -> None:
    (root / "access").write_text("ben@example.net REJECT 5.1.1 no ben\ncat@example.net DEFER 4.2.0 cat sleeps\n")
    settings = (
        f"smtpd_recipient_restrictions = check_recipient_access texthash:{root}/access, permit\n"
        "smtpd_relay_restrictions = permit_mynetworks, reject\n"
        "smtpd_sasl_auth_enable = no\n"
    )
    with Postfix(root, root / "mux", settings) as postfix:
        async with bench() as here:
            hop = here.hop(f"smtp://127.0.0.1:{postfix.port}")
            answers, outcomes = await send(hop, ANN, BEN, to("cat"), data=True)
            assert kinds(answers) == ["Accepted 250", "Refused 554", "Deferred 450"]
            assert answers[1].reply.enhanced == "5.1.1"
            assert kinds(outcomes) == ["Delivered 250"]
            assert outcomes[0].reply.text.startswith("Ok: queued as")
            envelope = Envelope(JOE.sender, MailParameters(size=1 << 40))
            assert kinds((await send(hop, envelope=envelope))[0]) == ["Refused 552"]
            assert kinds((await send(hop))[1]) == ["Delivered 250"]
        # one was the test's own, to see whether it stands
        assert postfix.log().count(": connect from") == 2


DOVECOT = """\
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={home}/%n allow_all_users=yes
}}
"""


async def test_dovecot_by_lmtp(root: Path) -> None:
    home = root / "home"
    home.mkdir()
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(home, nobody, -1)
    with Dovecot(root, DOVECOT.format(nobody=nobody, home=home)) as dovecot:
        async with bench() as here:
            hop = here.hop(f"lmtp:127.0.0.1:{dovecot.lmtp}")
            answers, outcomes = await send(hop, ANN, BEN, content=(LONG,))
            assert kinds(outcomes) == ["Delivered 250"] * 2, (answers, dovecot.log())
            assert "<ann@example.net>" in outcomes[0].reply.text
            assert "<ben@example.net>" in outcomes[1].reply.text
        for name in ("ann", "ben"):
            (file,) = (home / name / "Maildir" / "new").iterdir()
            assert file.read_bytes().replace(b"\r\n", b"\n").endswith(LONG.replace(b"\r\n", b"\n"))


@pytest.fixture
def sendmail(root: Path) -> Iterator[Sendmail]:
    certificate = root / "server.pem"
    trustme.CA().issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(certificate)
    with Sendmail(root, "define(`confDELIVER_BY_MIN', `60')dnl", "", certificate) as running:
        yield running


async def test_sendmail_knows_times_of_delivery(sendmail: Sendmail) -> None:
    """It refuses every recipient, with whom it takes him for: then MAIL with BY was understood."""
    async with bench() as here:
        hop = here.hop(f"smtp://127.0.0.1:{sendmail.port}")

        async def heard(seconds: int, returned: bool) -> str:
            asked = MailParameters(deliver_by=DeliverBy(seconds, returned), priority=3)
            (answer,), _ = await send(hop, envelope=Envelope(JOE.sender, asked, trio.current_time()))
            return str(answer.reply)

        assert (await heard(60, True)).endswith("... you are ")
        assert (await heard(-5, False)).endswith("... you are ")
        assert await heard(59, True) == "554 5.4.7 The next hop does not promise delivery in so short a time"
