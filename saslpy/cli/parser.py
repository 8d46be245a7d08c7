"""What can be typed after ``saslpy``, and what ``--help`` says of it."""

from __future__ import annotations

import argparse
import os

from .. import __version__
from ..mechanism_names import MECHANISMS

EPILOG = """\
start here:
  saslpy init ~/saslpy                    a configuration and an empty user store in a folder
  saslpy user add joe@example.org         (asks for a password)
  saslpy serve                            runs in the foreground, logs to stderr
  saslpy test joe@example.org             one login, and why it was accepted or not

a submission server to try out (mail is kept in a folder):
  saslpy init ~/mail --submission --hostname mail.example.org --self-signed

Every command has a --help of its own. The configuration is --config FILE, else $SASLPY_CONFIG,
else /etc/saslpy/saslpy.toml.
"""


def default_config() -> str:
    """The configuration file when none is named."""
    return os.environ.get("SASLPY_CONFIG") or "/etc/saslpy/saslpy.toml"


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="saslpy",
        description="An authentication daemon for mail systems, and a submission server.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"saslpy {__version__}")
    top.add_argument("--config", metavar="FILE", default=default_config(), help=argparse.SUPPRESS)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for add in (_serve, _check, _test, _user, _hash, _status, _reload, _init):
        add(commands)
    return top


Commands = argparse._SubParsersAction  # the type that add_subparsers gives has no public name


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, module: str, summary: str, epilog: str = ""
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(module=module)
    command.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the configuration [" + default_config().replace("%", "%%") + "]",
    )
    return command


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


def _serve(commands: Commands[argparse.ArgumentParser]) -> None:
    _command(
        commands,
        "serve",
        "serve",
        "run the daemon in the foreground",
        "Logs go to stderr; the line `event=ready` says that all sockets answer.\n"
        "SIGTERM lets requests under way finish and ends with status 0.",
    )


def _check(commands: Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "check",
        "check",
        "check the configuration, then try every backend and every next hop",
        "Of a next hop it says whether it can be reached, TLS, the login, and what it offers; no message is begun.\n\n"
        "exit status: 0 when all is well, 1 when anything is not; with --relay-test, 1 when anything was relayed and\n"
        "75 when something could not be found out",
    )
    command.add_argument("--offline", action="store_true", help="try no server; files are still opened")
    command.add_argument(
        "--relay-test",
        action="store_true",
        help="attack the running daemon's submission sockets with the tricks that make servers relay mail",
    )
    command.add_argument("--listen", type=int, metavar="N", help="with --relay-test: the socket of listen[N] alone")
    _json(command)


def _test(commands: Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "test",
        "test",
        "try one login and tell the verdict, the backend, the time and the reason",
        "exit status: 0 accepted, 1 rejected, 75 could not find out\n\n"
        "examples:\n"
        "  saslpy test joe@example.org                       through the configuration, asks for the password\n"
        "  saslpy test joe --realm example.org --via /run/saslauthd/mux    through a running daemon\n"
        "  saslpy test joe@example.org --mechanism SCRAM-SHA-256 --via /var/spool/postfix/private/auth",
    )
    command.add_argument("login", metavar="LOGIN")
    command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    command.add_argument("--service", default="smtp", help="the service that asks [smtp]")
    command.add_argument("--realm", default="", help="a realm, given apart from the login")
    command.add_argument(
        "--mechanism",
        choices=[name for name in MECHANISMS if not name.endswith("-PLUS")],
        help="what the mail client uses [PLAIN]",
    )
    command.add_argument("--client-ip", default="", metavar="IP", help="the mail client's address")
    command.add_argument("--via", metavar="SOCKET", help="ask a running daemon at this socket (path or host:port)")
    command.add_argument(
        "--protocol",
        choices=["saslauthd", "authdaemon", "dovecot"],
        help="what the socket of --via speaks [by the configuration, else saslauthd]",
    )
    _json(command)


def _user(commands: Commands[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("user", help="add, change, delete, list and show users of a writable store")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    for name, summary in (
        ("add", "add a user"),
        ("passwd", "set a user's password"),
        ("delete", "delete a user"),
        ("list", "list the users"),
        ("show", "show one user, without secrets"),
    ):
        action = _command(actions, name, "user", summary)
        action.set_defaults(action=name)
        if name != "list":
            action.add_argument("login", metavar="LOGIN")
        action.add_argument(
            "--backend", metavar="NAME", help="the [backend.NAME] [the first writable one of the chain]"
        )
        if name in ("add", "passwd"):
            action.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
            action.add_argument("--scheme", default="ARGON2ID", help="how the password is stored [ARGON2ID]")
        elif name in ("list", "show"):
            _json(action)


def _hash(commands: Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "hash",
        "hash",
        "print a password as {SCHEME}… for a database or a configuration file",
        "example:\n  saslpy hash --scheme SHA512-CRYPT",
    )
    command.add_argument("--scheme", default="ARGON2ID", help="[ARGON2ID]; --list shows them all")
    command.add_argument("--login", default="", help="the login, for DIGEST-MD5, whose hash depends on it")
    command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    command.add_argument("--list", action="store_true", help="list the schemes")


def _status(commands: Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "status",
        "status",
        "show how the running daemon is: its backends, sockets and processes",
        "exit status: 0 when every backend works, 1 when one is down, 75 when there is no daemon to ask",
    )
    _json(command)


def _reload(commands: Commands[argparse.ArgumentParser]) -> None:
    _command(
        commands,
        "reload",
        "reload",
        "have the running daemon take the configuration as it is now",
        "No connection is dropped. With a faulty configuration everything stays as it was.\n"
        "exit status: 0 when it is in force, 1 when it has faults, 75 when there is no daemon to ask",
    )


def _init(commands: Commands[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "init",
        "init",
        "write a commented configuration and an empty user store",
        "Without DIR they go where a packaged daemon has them: /etc/saslpy and /var/lib/saslpy.\n\n"
        "a submission server, to try it out; and one in front of a smarthost, with a certificate of certbot's:\n"
        "  saslpy init ~/saslpy --submission --hostname mail.example.org --self-signed\n"
        "  saslpy init --submission --hostname mail.example.org --smarthost smarthost.example.net --smarthost-login office",
    )
    command.add_argument("directory", metavar="DIR", nargs="?", help="put both into this folder")
    command.add_argument("--user", metavar="NAME", help="whom the daemon becomes when root starts it [saslpy]")
    command.add_argument(
        "--submission",
        action="store_true",
        help="a submission server, on ports 587 and 465 (1587 and 1465 if not root)",
    )
    mail = command.add_argument_group("with --submission")
    mail.add_argument("--hostname", metavar="NAME", help="the server's name for mail programs [this machine's]")
    mail.add_argument(
        "--smarthost",
        metavar="HOST",
        help="where mail goes: HOST, HOST:PORT, smtps://HOST, lmtp:/PATH [a folder that keeps it, to try things out]",
    )
    mail.add_argument("--smarthost-login", metavar="LOGIN", help="log in there; the password is asked for")
    mail.add_argument("--password-stdin", action="store_true", help="read that password from standard input")
    mail.add_argument(
        "--certificate", metavar="FILE", help="PEM file, the authorities' behind it [fullchain.pem in DIR, certbot's]"
    )
    mail.add_argument("--key", metavar="FILE", help="PEM file with its private key [in the certificate's file]")
    mail.add_argument("--self-signed", action="store_true", help="make a certificate to try things out")
