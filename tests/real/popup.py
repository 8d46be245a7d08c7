"""What qmail-popup does, under tcpserver: USER and PASS in the clear, then ``popup.py HOST checkpassword prog arg …``.

The program gets login, password and a timestamp on file descriptor 3, and the connection as its input and output. Any other
end than ``prog``'s own is told as qmail-popup tells it.
"""

from __future__ import annotations

import os
import sys


def main(host: str, *command: str) -> None:
    """One connection."""
    say(f"+OK <{os.getpid()}@{host}>")
    login = ask("USER")
    say("+OK")
    password = ask("PASS")
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(theirs)
        os.dup2(ours, 3)
        os.set_inheritable(3, True)  # dup2() leaves one that is 3 already as it is
        os.execvp(command[0], command)
    os.close(ours)
    os.write(theirs, b"%b\0%b\0<%d@%b>\0" % (login, password, os.getpid(), host.encode()))
    os.close(theirs)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 111:
        say("-ERR [SYS/TEMP] temporary problem")
    elif status != 0:
        say("-ERR authorization failed")


def ask(command: str) -> bytes:
    """The argument of the next command, which must be this one."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)  # what comes behind it is prog's
        if not more:
            sys.exit(1)
        line += more
    word, _, argument = line.rstrip(b"\r\n").partition(b" ")
    if word.upper() != command.encode():
        sys.exit(1)
    return argument


def say(text: str) -> None:
    """One line."""
    os.write(1, text.encode() + b"\r\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
