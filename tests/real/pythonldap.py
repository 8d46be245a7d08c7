"""python-ldap for the tests: the one of the virtual environment, or Debian's, which fits Debian's version of Python."""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

DEBIAN = Path("/usr/lib/python3/dist-packages")
PARTS = ("ldap", "ldapurl.py", "ldif.py", "pyasn1_modules")


def need_python_ldap() -> None:
    """Have ``import ldap`` work. Else the test is skipped, or fails in CI where Debian has one for this Python."""
    import pytest

    if _offered():
        return
    fits = Path(f"/usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}").is_dir()
    reason = "python-ldap is missing: apt-get install python3-ldap, or pip install 'saslpy[ldap-fast]'"
    if fits and os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def _offered() -> bool:
    """Whether it can be imported now; what was loaded without it is loaded again."""
    if importlib.util.find_spec("ldap") is None and not _borrowed():
        return False
    with_libldap = importlib.import_module("saslpy_ldap.with_libldap")
    if not with_libldap.available():
        importlib.reload(with_libldap)
    return bool(with_libldap.available())


def _borrowed() -> bool:
    """Debian's module in ``sys.path``, without all that is beside it."""
    library = DEBIAN / f"_ldap{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not library.exists():
        return False
    folder = Path(tempfile.mkdtemp(prefix="saslpy-python-ldap-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for part in (library.name, *PARTS):
        (folder / part).symlink_to(DEBIAN / part)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    return True
