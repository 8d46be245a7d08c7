"""What is measured, and what saslpy has to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .hashes import MD5, SHA512, Scheme


@dataclass(frozen=True, slots=True)
class Group:
    """One store with two daemons over it, both running at the same time."""

    name: str
    store: Literal["mysql", "sqlite"]
    scheme: Scheme
    users: int

    @property
    def pattern(self) -> str:
        """Of the logins; system accounts have no domain."""
        return "u%d@example.org" if self.store == "mysql" else "u%d"

    @property
    def peer(self) -> str:
        """What it is compared with."""
        return "courier authdaemond" if self.store == "mysql" else "saslauthd -a shadow"


@dataclass(frozen=True, slots=True)
class Goal:
    """saslpy's logins a second, as a share of the peer's or of what ``crypt_r`` alone does."""

    share: float
    of: Literal["peer", "crypt_r"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table."""

    group: Group
    concurrency: int
    wrong: int = 0  # percent
    goal: Goal | None = None

    @property
    def name(self) -> str:
        """``mysql-md5-64``, ``mysql-sha512-8-wrong50``."""
        return f"{self.group.name}-{self.concurrency}" + (f"-wrong{self.wrong}" if self.wrong else "")

    @property
    def has_yardstick(self) -> bool:
        """Whether ``crypt_r`` alone is measured in the same rounds: where it is the bound."""
        return self.concurrency >= 64


MYSQL_MD5 = Group("mysql-md5", "mysql", MD5, 20_000)
MYSQL_SHA512 = Group("mysql-sha512", "mysql", SHA512, 20_000)
SQLITE_SHA512 = Group("sqlite-sha512", "sqlite", SHA512, 20_000)
SQLITE_FEW = Group("sqlite-100users", "sqlite", SHA512, 100)
"""saslauthd reads /etc/shadow from its beginning at every login, so the many users above weigh on it alone."""

NEARLY_CRYPT = Goal(0.9, "crypt_r")

SCENARIOS = (
    Scenario(MYSQL_MD5, 1),
    Scenario(MYSQL_MD5, 8),
    Scenario(MYSQL_MD5, 64, goal=Goal(0.7, "peer")),
    Scenario(MYSQL_MD5, 8, wrong=50),
    Scenario(MYSQL_SHA512, 1),
    Scenario(MYSQL_SHA512, 8),
    Scenario(MYSQL_SHA512, 64, goal=NEARLY_CRYPT),
    Scenario(SQLITE_SHA512, 1),
    Scenario(SQLITE_SHA512, 8),
    Scenario(SQLITE_SHA512, 64, goal=NEARLY_CRYPT),
    Scenario(SQLITE_FEW, 64, goal=NEARLY_CRYPT),
)
