"""saslpy: an authentication daemon for mail systems.

A backend's author imports these names; the contract is told in ``saslpy.backend``.
"""

from .backend import (
    BadRecord,
    BatchStore,
    Listing,
    NoSuchUser,
    Plugin,
    Probe,
    Sampling,
    Store,
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
    "UserExists",
    "Verdict",
    "Verifier",
    "WritableStore",
]
