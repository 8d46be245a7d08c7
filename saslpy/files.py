"""What plug-ins read from files that their section names. Every fault is a ``ValueError`` that begins with the key."""

from __future__ import annotations

from pathlib import Path


def first_line(path: Path, key: str) -> str:
    """The password in a file: its first line without the newline. ``key`` names the file in the configuration."""
    try:
        line = path.read_bytes().partition(b"\n")[0].removesuffix(b"\r").decode()
    except OSError as error:
        raise ValueError(f"{key}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        # the error itself would show the bytes
        raise ValueError(f"{key}: {path}: its first line is not UTF-8") from None
    if not line:
        raise ValueError(f"{key}: {path}: its first line is empty")
    return line


def certificates(path: Path, key: str = "ca_file") -> str:
    """The text of a PEM file of certificates. ``key`` names the file in the configuration."""
    try:
        text = path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise ValueError(f"{key}: {path}: {error.strerror}") from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(f"{key}: {path}: holds no certificate in PEM form")
    # what stands around certificates may be in any encoding; OpenSSL wants ASCII
    return text.encode("ascii", "ignore").decode("ascii")
