"""Addresses to listen at, and why one cannot be had, in words that say what to do."""

import errno
import socket

from hisbus.errors import ConfigError

LARGEST = 65535
"""Port."""


def address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; an IPv6 host stands in brackets.

    Raises:
        ValueError: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > LARGEST:
        raise ValueError("not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def bind(text: str) -> socket.socket:
    """Return a socket that listens at ``HOST:PORT``.

    Raises:
        ConfigError: it cannot, and why.
    """
    try:
        host, port = address(text)
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, ValueError) as error:
        raise ConfigError(unbound(error, text)) from error


def unbound(error: OSError | ValueError, text: str) -> str:
    """Return why nobody can listen at an address."""
    if isinstance(error, socket.gaierror):
        return f"no host of the name in {text} is known. Use an address of this machine, or 0.0.0.0 for all of them."
    if not isinstance(error, OSError):
        port = text.rpartition(":")[2]
        if port.isascii() and port.isdecimal() and int(port) > LARGEST:
            return f"{text}: there is no port {port}; the largest is {LARGEST}. Choose another."
        return f'{text!r} is no address. Write "HOST:PORT", for example "127.0.0.1:8080".'
    match error.errno:
        case errno.EADDRINUSE:
            return f"{text} is taken by another process. Stop that one, or choose another port."
        case errno.EADDRNOTAVAIL:
            return f"this machine has no such address as in {text}. Use one that it has, or 0.0.0.0 for all of them."
        case errno.EACCES:
            return f"{text} may not be used by this user. Choose a port above 1023."
        case _:
            return f"{text} cannot be listened at ({errno.errorcode.get(error.errno or 0, 'unknown')})."
