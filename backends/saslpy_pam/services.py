"""Where PAM's service files are, pam.d(5)."""

from __future__ import annotations

from pathlib import Path

FOLDERS = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"), Path("/usr/share/pam.d"), Path("/usr/etc/pam.d"))
"""The administrator's, then those that distributions build into libpam."""

PAM_CONF = Path("/etc/pam.conf")
"""Read where there is no /etc/pam.d: the service is the first word of each line."""


class ServiceMissing(LookupError):
    """libpam would ask "other" in the place of this service."""


def service_file(name: str, confdir: Path | None = None) -> Path:
    """The file of a service or of one that is included. Raises ``ServiceMissing``, and OSError where it may not be seen."""
    folders = FOLDERS if confdir is None else (confdir,)
    for folder in folders:
        path = folder / name
        try:
            path.stat()  # not exists(), for which a folder that may not be entered is an empty one
        except (FileNotFoundError, NotADirectoryError):
            continue
        return path
    if confdir is None and not FOLDERS[0].is_dir() and _in_pam_conf(name):
        return PAM_CONF
    raise ServiceMissing(f'{folders[0] / name}: there is no such service file; PAM would ask "other" in its place')


def _in_pam_conf(name: str) -> bool:
    try:
        lines = PAM_CONF.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return any(line.split()[:1] == [name] for line in lines)
