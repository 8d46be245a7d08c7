"""What is let through: as whom a message is sent, what its header must be, what is changed in it, how much a user may send.

All of it is pure: values in, values out. One message's way: ``headers.HeaderReader`` takes the content as it comes and
keeps the header. ``identity`` says as whom it is sent, which of that must be asked about, and judges by the answers.
``fixups.fix`` makes the header that goes on, with the field of ``received``; the body goes on as it came. ``limits``
counts.
"""

from __future__ import annotations


def shown(text: str, most: int = 100) -> str:
    """What a client sent, as a reply or a log line may name it: printable ASCII, escaped as Python does, cut at its end."""
    escaped = ascii(text[: most + 1])[1:-1]
    return escaped if len(escaped) <= most else escaped[: most - 3] + "..."
