"""Bearer tokens: signed ones, and an issuer that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from saslpy.assemble import link
from saslpy.guard import Guarded
from saslpy.health import Health
from saslpy.model import Account, Login, Reason, Refusal
from saslpy.observe.log import Log
from saslpy.testing import settings_of
from saslpy_oauth import Config, open_backend
from saslpy_oauth.signed import SignedTokens
from tests.real.idp import AUDIENCE, Idp, Signer

NOBODY = Login("", "")
JOE = Account("joe@example.org")


def keys_of(file: Path, signer: Signer, **changed: Any) -> dict[str, Any]:
    """The keys of a backend's section for what a signer signs; the file is written."""
    file.write_text(signer.jwks())
    usual = {"keys_file": file, "issuer": signer.issuer, "audience": (AUDIENCE,)}
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


@contextmanager
def signed(file: Path, signer: Signer, **changed: Any) -> Iterator[SignedTokens]:
    """A backend for signed tokens."""
    with open_backend(Config(**keys_of(file, signer, **changed))) as backend:  # type: ignore[union-attr]
        assert isinstance(backend, SignedTokens)
        yield backend


def sections(keys_file: str, signer: Signer, idp: Idp) -> str:
    """A chain with joe, whose password is "secret", and both kinds of issuers, as a file has it."""
    asking = "\n".join(f"{key} = {value!r}" for key, value in idp.keys().items())
    return f"""chain = ["sso", "local", "other"]
[backend.local]
type = "static"
users = {{ "joe@example.org" = "{{PLAIN}}secret" }}
[backend.sso]
type = "oauth"
keys_file = "{keys_file}"
issuer = "{signer.issuer}"
audience = ["{AUDIENCE}"]
[backend.other]
{asking}
"""


def refused(answer: object) -> str:
    """That it is a definite no because of the token; why."""
    assert isinstance(answer, Refusal), answer
    assert answer.reason is Reason.INVALID_TOKEN
    return answer.detail


@asynccontextmanager
async def guarded(folder: Path, log: Log | None = None, **table: Any) -> AsyncIterator[Guarded]:
    """The backend of a section, as the daemon has it."""
    settings = settings_of(folder, table)
    async with link(settings.backends["mine"], Health(log)) as opened:
        yield opened.backend
