"""saslpy: an authentication daemon for mail systems.

A backend's author imports these names; the contract is told in ``saslpy.backend``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import (
        BadRecord,
        BatchStore,
        Listing,
        NoSuchUser,
        Plugin,
        Probe,
        Sampling,
        Store,
        TokenVerifier,
        UserExists,
        Verifier,
        WritableStore,
    )
    from .model import NEVER_HERE, Accept, Account, Caller, Defer, Login, Origin, Reason, Refusal, Reject, Verdict

__version__ = "0.1.0"

__all__ = [
    "NEVER_HERE",
    "Accept",
    "Account",
    "BadRecord",
    "BatchStore",
    "Caller",
    "Defer",
    "Listing",
    "Login",
    "NoSuchUser",
    "Origin",
    "Plugin",
    "Probe",
    "Reason",
    "Refusal",
    "Reject",
    "Sampling",
    "Store",
    "TokenVerifier",
    "UserExists",
    "Verdict",
    "Verifier",
    "WritableStore",
]


def __getattr__(name: str) -> Any:
    """The names above, each when it is first wanted: most commands need none of them, and start 10 ms sooner (PEP 562)."""
    if name in __all__:
        for place in ("model", "backend"):
            module = import_module(f".{place}", __name__)
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
