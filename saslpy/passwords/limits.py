"""What one check may cost, whatever a stored hash asks for.

A stored hash names its own cost, and whoever can write one (a user's own LDAP entry, a migrated table) could keep a
core busy for minutes. Each limit is at most 2 to 3 s on one core of an ordinary server of 2023 with a password of usual
length, and at most 1 GiB; all defaults of known makers are far below. The SHA crypts take 8 to 14 times as long for a
password of 511 bytes, which is why their limits are lower than the time of a short one would allow.
"""

from __future__ import annotations

MAX_PASSWORD = 4096
"""Bytes of the longest password that is looked at; a longer one matches nothing."""

MAX_STORED = 8192
"""Characters of the longest stored secret that is read."""

CRYPT_PASSWORD = 511
"""Bytes: libxcrypt takes no longer password (CRYPT_MAX_PASSPHRASE_SIZE, crypt(3))."""

SHA512_CRYPT_ROUNDS = 2_000_000
SHA256_CRYPT_ROUNDS = 1_000_000
SHA1_CRYPT_ROUNDS = 2_000_000
SUN_MD5_ROUNDS = 1_000_000
BSDI_COUNT = 8_000_000

BCRYPT_COST = 15
"""log2 of bcrypt's rounds; 12 takes 0.23 s."""

PBKDF2_ROUNDS = 3_000_000
"""Iterations of PBKDF2 and SCRAM; one million of SHA-512 takes 0.7 s."""

PHPASS_LOG2 = 19
"""log2 of phpass' MD5 rounds."""

SCRYPT_KIB = 1 << 19
"""128 N r p of scrypt in KiB: work and memory in one."""

YESCRYPT_KIB = 1 << 20
"""128 N r of yescrypt in KiB, times its t where that is above 1; it passes over its memory faster than scrypt."""

ARGON2_KIB = 1 << 20
"""Argon2's memory, in KiB. Dovecot asks for 1 << 18 by default."""

ARGON2_WORK = 1 << 21
"""Argon2's memory in KiB times its passes."""

ARGON2_LANES = 16
"""Argon2's lanes: the library starts a thread for each."""

ARGON2_OUTPUT = 16
"""Bytes of the shortest argon2 output that is compared. The library would compare 4."""

TRUNCATED = 4
"""Characters of the shortest PLAIN-TRUNC prefix that may stand for a longer password."""
