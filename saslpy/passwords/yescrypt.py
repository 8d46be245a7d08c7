"""The parameters in ``$y$``, ``$gy$`` and ``$7$`` strings: how much memory and time they ask for (yescrypt's PHC paper).

Numbers of ``$y$`` are of variable length: the first of 48 digits stand for themselves, the later ones announce further
digits, as UTF-8 does. ``$7$`` has one digit for log2 N and five each, lowest first, for r and p.
"""

from __future__ import annotations

from collections.abc import Iterator

from .limits import SCRYPT_KIB, YESCRYPT_KIB
from .patterns import ITOA64
from .secret import malformed, within

CLASSIC, WORM, RW = 0, 1, 47
"""The flavours that libxcrypt computes: scrypt in yescrypt's clothes, nearly so, and yescrypt proper (the j)."""


def parameters(scheme: str, text: str) -> tuple[str, int]:
    """What is appended to the kind, and KiB, of the ``j9T`` in ``$y$j9T$``."""
    digits = iter([ITOA64.index(character) for character in text])
    try:
        flavour, log2_n, r = number(digits, 0), number(digits, 1), number(digits, 1)
        p, t = _extras(scheme, digits)
    except StopIteration:
        raise malformed(scheme, "its parameters are truncated") from None
    memory = _kib(scheme, log2_n, r)
    if flavour not in {CLASSIC, WORM, RW} or (flavour == RW and (1 << log2_n) // p <= 1):
        raise malformed(scheme, "its parameters are none that crypt(3) takes")
    if flavour == RW:
        within(scheme, memory * max(1, t), YESCRYPT_KIB, "KiB of memory (times t)")
    else:
        within(scheme, memory * max(1, p) * (t + 1), SCRYPT_KIB, "KiB of memory (times p and t)")
    return f" flavour={flavour},N={1 << log2_n},r={r},p={p},t={t}", memory


def number(digits: Iterator[int], least: int) -> int:
    """One number of variable length, at least ``least``. Raises ``StopIteration`` where the digits end."""
    first = next(digits)
    value, start, end, shift = least, 0, 47, 0
    while first > end:
        value += (end + 1 - start) << shift
        start, end = end + 1, end + 1 + (62 - end) // 2
        shift += 6
    value += (first - start) << shift
    while shift:
        shift -= 6
        value += next(digits) << shift
    return value


def _extras(scheme: str, digits: Iterator[int]) -> tuple[int, int]:
    """p and t, where the string has any: a bit mask tells which of p, t, g and NROM follow."""
    if not (rest := list(digits)):
        return 1, 0
    digits = iter(rest)
    have = number(digits, 1)
    if have > 3:  # g was never defined, and NROM wants a table in memory that login programs do not have
        raise malformed(scheme, "it has parameters that crypt(3) does not take")
    p = number(digits, 2) if have & 1 else 1
    t = number(digits, 1) if have & 2 else 0
    if next(digits, None) is not None:
        raise malformed(scheme, "its parameters are too long")
    return p, t


def scrypt_parameters(scheme: str, text: str) -> tuple[str, int]:
    """The same of the eleven characters after ``$7$``."""
    digits = [ITOA64.index(character) for character in text]
    r, p = (sum(digit << 6 * place for place, digit in enumerate(part)) for part in (digits[1:6], digits[6:]))
    if not (r and p and digits[0]):
        raise malformed(scheme, "a parameter is 0")
    memory = _kib(scheme, digits[0], r)
    within(scheme, memory * p, SCRYPT_KIB, "KiB of memory (times p)")
    return f" N={1 << digits[0]},r={r},p={p}", memory


def _kib(scheme: str, log2_n: int, r: int) -> int:
    """128 N r bytes in KiB, at least 1."""
    if log2_n > 63:
        raise malformed(scheme, "its N is beyond all machines")
    return max(1, (r << log2_n) >> 3)
