"""Asking the running daemon, over its control socket."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from .common import Unusable

if TYPE_CHECKING:
    from ..settings import Settings

PATIENCE = 35.0
"""Seconds; the daemon itself gives up after 30."""


class NoDaemon(Unusable):
    """There is no daemon to ask."""


def ask(settings: Settings, command: str) -> dict[str, Any]:
    """The daemon's answer to a command. Raises ``NoDaemon``."""
    path = settings.daemon.run_dir / "control"
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(path))
            sock.sendall(json.dumps({"command": command}).encode() + b"\n")
            answer = json.loads(b"".join(iter(lambda: sock.recv(65_536), b"")))
    except PermissionError:
        raise NoDaemon(f"{path}: only root and the daemon's user may ask; try sudo") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoDaemon(f"no daemon answers at {path}; is it running, with this configuration?") from None
    except (OSError, ValueError) as error:
        raise NoDaemon(f"the daemon at {path} did not answer: {error}") from None
    if not isinstance(answer, dict) or "error" in answer:
        raise NoDaemon(str(answer.get("error")) if isinstance(answer, dict) else "the daemon's answer makes no sense")
    return answer
