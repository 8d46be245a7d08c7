"""What several tests of LDAP share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from saslpy_ldap import Config, open_backend
from tests.real.pythonldap import need_python_ldap

Open = Callable[..., Any]


@pytest.fixture(params=["ldap3", "python-ldap"])
def driver(request: pytest.FixtureRequest) -> str:
    """Each of the drivers in turn."""
    if request.param == "python-ldap":
        need_python_ldap()
    return str(request.param)


@pytest.fixture
def opened(driver: str) -> Iterator[Open]:
    """Opens backends with a driver: ``opened(urls, **keys)``."""
    with ExitStack() as stack:

        def backend(*urls: str, **keys: Any) -> Any:
            return stack.enter_context(open_backend(Config(urls=urls, driver=driver, **keys)))  # type: ignore[arg-type]

        yield backend
