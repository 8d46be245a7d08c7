"""Networks: how they are written, and which of them hold strangers."""

from __future__ import annotations

import pytest

from saslpy.networks import address, check_narrow, networks, private, wide, within


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("192.0.2.0/28", ""),
        ("192.0.2.1", ""),
        ("2001:db8::/32", ""),
        ("192.0.2.1/28", "n[0]: '192.0.2.1/28' has bits behind its prefix; is '192.0.2.0/28' meant?"),
        ("192.0.2.0/33", 'n[0]: expected an address or a network such as "192.0.2.0/28", got'),
        ("printer", "n[0]: expected an address or a network"),
        ("", "n[0]: expected an address or a network"),
    ],
)
def test_how_they_are_written(text: str, fault: str) -> None:
    if not fault:
        assert len(networks("n", [text])) == 1
        return
    with pytest.raises(ValueError, match=r"expected|meant") as error:
        networks("n", [text])
    assert fault in str(error.value)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "192.0.0.0/8", "198.18.0.0/15", "2001:db8::/31"])
def test_wide(text: str) -> None:
    found = networks("n", [text])
    assert wide(found[0])
    with pytest.raises(ValueError, match=r"n\[0\]: .* is a large part of the Internet, and that is bad"):
        check_narrow("n", found, "that is bad")


@pytest.mark.parametrize("text", ["10.0.0.0/8", "127.0.0.0/8", "fc00::/7", "192.0.2.0/24", "198.18.0.0/16", "::1"])
def test_narrow(text: str) -> None:
    found = networks("n", [text])
    assert not wide(found[0])
    check_narrow("n", found, "that is bad")


def test_private() -> None:
    assert all(private(one) for one in networks("n", ["10.1.0.0/16", "192.168.0.0/16", "fe80::/64", "127.0.0.1"]))
    assert not any(private(one) for one in networks("n", ["8.0.0.0/6", "192.168.0.0/15", "::/0", "2001:db8::/64"]))


def test_within() -> None:
    nets = networks("n", ["192.0.2.0/28", "2001:db8::/64"])
    assert all(within(text, nets) for text in ("192.0.2.15", "::ffff:192.0.2.1", "2001:db8::7%eth0"))
    assert not any(within(text, nets) for text in ("192.0.2.16", "2001:db8:0:1::", "", "unix", "192.0.2.1.5"))
    assert str(address("::ffff:192.0.2.1")) == "192.0.2.1"
    assert address("x") is None
