"""Users in a directory: OpenLDAP, Active Directory, and whatever else speaks LDAP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from saslpy.backend import Plugin
from saslpy.files import certificates, first_line

from . import rules
from .places import Server
from .templates import BindName, Filter

if TYPE_CHECKING:
    from saslpy.settings import BackendOptions

    from .store import LdapStore
    from .verifier import DirectBind, SearchThenBind


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "ldap"``.

    **Where.** ``urls`` ("ldaps://ldap1.example.com", "ldap://192.0.2.7:389", "ldapi://%2Frun%2Fslapd%2Fldapi") are tried
    in order, a failed one is left alone for some seconds. ``starttls``: whether an ``ldap://`` server is asked for TLS;
    unset means yes for every host but loopback. Certificates and host names are verified, always, against ``ca_file`` or
    the system's authorities. ``driver``: "auto" is python-ldap (OpenLDAP's library) where it is installed, else ldap3.

    **Search, then bind as the entry.** ``base``, ``scope`` ("subtree", "one", "base") and ``filter``, in which ``{login}``,
    ``{local}`` and ``{domain}`` stand where a value may; found as ``bind_dn`` with ``bind_password``, or with the first
    line of ``bind_password_file``, or anonymously without them. Exactly one entry must be found; several are a fault of
    the filter, and "could not find out". ``login_attribute`` holds the canonical name; by default it is the attribute that
    the filter compares with ``{login}``, or with ``{local}``, and then the login's domain is added. ``attributes``: our
    names (``uid``, ``gid``, ``home``, ``maildir``, ``quota``, ``name``, ``options``, ``aliases``, ``disabled``,
    ``expired``, ``allow_nets``) to the directory's; of several values of ``disabled`` and ``expired`` one yes is enough.
    Attributes are named as the directory does, not by an OID; ``saslpy check`` holds them to its schema. ``group_filter``,
    with ``{dn}`` too, must find something below ``group_base`` (by default ``base``). ``remember_seconds``: for which an
    entry that a login was right for is not searched again, from its search on and however often it is used. So long, at
    most, who is out of the group or the filter, or disabled by an attribute, is still let in; the password is tried each
    time.
    ``on_reference``: "defer" where nothing is found but a reference to another server (it is never followed), or "ignore".
    A login that is not found costs no bind, and is answered sooner than a wrong password: ``min_seconds`` hides that.

    All users are listed with the filter, too, with a star for the login; ``list_filter`` is another one, without a login,
    for a filter of which that makes no sense. Where names are local parts, they are listed for each of ``domains``.

    **Stored passwords.** With ``password_attribute`` ("userPassword") they are read instead of a bind, so that CRAM-MD5 and
    SCRAM work; what has no ``{SCHEME}`` is of the backend's ``default_scheme`` (RFC 4519 says: "PLAIN"). What a directory
    looks at in a bind is not looked at then: locks, ages and pwdReset of its password policy, Active Directory's
    userAccountControl. With ``upgrade``, ``bind_dn`` must be allowed to write them, and the directory must know the scheme;
    where OpenLDAP's slapo-ppolicy is at work no upgrade is possible, since it takes the hash that goes for a password.

    **Bind alone.** ``user_dn`` instead of a filter: "uid={local},ou=people,dc=example,dc=com", or Active Directory's
    "{local}@corp.example.com", "{login}", "CORP\\\\{local}". The login is the canonical name. Whether a user exists cannot
    be told then, nor can users be listed.

    ``domains``: logins of others are unknown here, "" is for those with none; unset means all, and is a fault where the
    filter, or ``user_dn``, uses neither ``{login}`` nor ``{domain}``: joe@any-domain would be joe. ``pool_size``
    connections at most to each server and for each purpose; ``query_timeout`` is how long to wait for an answer, in
    seconds.
    """

    urls: tuple[str, ...]
    starttls: bool | None = None
    ca_file: Path | None = None
    driver: Literal["auto", "ldap3", "python-ldap"] = "auto"
    bind_dn: str = ""
    bind_password: str = field(default="", repr=False)
    bind_password_file: Path | None = None
    base: str = ""
    scope: Literal["subtree", "one", "base"] = "subtree"
    filter: str = ""
    login_attribute: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    list_filter: str = ""
    group_filter: str = ""
    group_base: str = ""
    password_attribute: str = ""
    remember_seconds: float = 60.0
    on_reference: Literal["defer", "ignore"] = "defer"
    user_dn: str = ""
    domains: tuple[str, ...] = ()
    pool_size: int = 8
    query_timeout: float = 2.0
    servers: tuple[Server, ...] = field(default=(), init=False, repr=False)
    ca_pem: str = field(default="", init=False, repr=False)
    filter_template: Filter = field(init=False, repr=False)
    group_template: Filter | None = field(default=None, init=False, repr=False)
    list_template: Filter | None = field(default=None, init=False, repr=False)
    bind_name: BindName = field(init=False, repr=False)

    def __post_init__(self) -> None:
        derived = {"servers": rules.servers(self), **rules.questions(self)}
        rules.check_credentials(self)
        rules.check_numbers(self)
        rules.check_driver(self)
        derived["domains"] = tuple(domain.lower() for domain in self.domains)
        # read now: later, the daemon has given up the rights to read them
        if self.bind_password_file is not None:
            derived["bind_password"] = first_line(self.bind_password_file, "bind_password_file")
        if self.ca_file is not None:
            derived["ca_pem"] = certificates(self.ca_file)
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def faults(self, options: BackendOptions) -> Iterator[tuple[str, str]]:
        """Upgrades that cannot be."""
        return rules.upgrade_faults(self, options.upgrades)


@contextmanager
def open_backend(config: Config) -> Iterator[SearchThenBind | DirectBind | LdapStore]:
    """The backend. Nothing is connected before the first question, so a directory that is down is no failing start."""
    from .directory import Directory
    from .store import LdapStore
    from .verifier import DirectBind, SearchThenBind

    directory = Directory(config)
    try:
        if config.user_dn:
            yield DirectBind(config, directory)
        elif config.password_attribute:
            yield LdapStore(config, directory)
        else:
            yield SearchThenBind(config, directory)
    finally:
        directory.close()


plugin = Plugin(Config, open_backend, extra="ldap", driver="ldap3", upgrades="one")
