"""The names of the SASL mechanisms that there are; ``mechanisms`` has their code, and is not needed to read a name."""

from __future__ import annotations

CLEARTEXT = ("PLAIN", "LOGIN")
"""The mechanisms of which the server sees no more than a name and a password."""

MECHANISMS = (
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "CRAM-MD5",
    "PLAIN",
    "LOGIN",
    "OAUTHBEARER",
    "XOAUTH2",
    "EXTERNAL",
    "ANONYMOUS",
)
"""Those that there are, in the order in which they are offered. ``mechanisms`` has the code."""
