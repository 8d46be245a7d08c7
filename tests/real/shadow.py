"""Files such as /etc/shadow and /etc/passwd, for tests that need no root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from saslpy_shadow import Config, open_store
from saslpy_shadow.store import ShadowStore

DAY = 20000
MD5 = "$1$abcdefgh$" + "x" * 22
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "news:x:9:9:news:/var/spool/news:/usr/sbin/nologin\n"
    "joe:x:1000:100:Joé Doe,Room 1:/home/joe:/usr/sbin/nologin\n"
    "ann:x:1001:100::/home/ann:/bin/sh\n"
    "gone:x:1002:100:::/bin/sh\n"
)
SHADOW = f"root:{MD5}:1::::::\nnews:{MD5}:1:0:99999:7:::\njoe:{MD5}:19000:0:99999:7:::\nann:!:19000:0:99999:7:::\n"


def store(folder: Path, shadow: str | bytes = SHADOW, passwd: str | bytes = PASSWD, **changes: Any) -> ShadowStore:
    """What asks two files in a folder, which it writes."""
    for name, content in (("shadow", shadow), ("passwd", passwd)):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with open_store(Config(path=folder / "shadow", passwd=folder / "passwd", **changes)) as opened:
        return opened


def settle(folder: Path) -> None:
    """The files are old now."""
    for name in ("shadow", "passwd"):
        os.utime(folder / name, (1e9, 1e9))
