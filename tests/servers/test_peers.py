"""What a caller says of its client."""

from __future__ import annotations

from saslpy.servers.peers import address_of


def test_an_address_is_nothing_else() -> None:
    """PAM modules are told it, and rules go by it; behind an IPv6 address any text may stand as its zone."""
    assert address_of("fe80::1%eth0\n2026 sshd: Accepted") == "fe80::1"
    assert address_of("2001:DB8::7") == "2001:db8::7"
    assert address_of("mail.example.org") == address_of("") == ""
