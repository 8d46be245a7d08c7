"""The paths of an HTTP socket, put together. This loads h11, which only a daemon with such a socket needs."""

from __future__ import annotations

from ..authenticator import Authenticator
from ..listeners.http import HttpListen
from ..observe.log import Log
from .http import Handler, HttpOptions, HttpServer
from .http_json import JsonLogins
from .http_nginx import NginxMail, NginxOptions


def http_server(listen: HttpListen, offers: tuple[str, ...], door: Authenticator, log: Log) -> HttpServer:
    """The front end for a listener, which allows these mechanisms. Without ``upstreams``, nginx is not answered."""
    programs = JsonLogins(door, not {"PLAIN", "LOGIN"}.isdisjoint(offers))
    paths: dict[str, tuple[str, Handler]] = {"/login": ("POST", programs.login), "/user": ("POST", programs.user)}
    if listen.upstreams is not None:
        asked = NginxOptions(
            listen.upstreams.servers(), offers, listen.auth_wait, listen.auth_attempts, listen.upstream_password
        )
        paths["/nginx"] = ("GET", NginxMail(door, asked, log).auth)
    options = HttpOptions(listen.read_timeout, listen.idle_timeout, listen.secret, listen.secret_header)
    return HttpServer(paths, options, log)
