"""Passwords, kept as argon2 hashes; and the random secrets that stand for a user, kept as SHA-256."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from hisbus_bus.kernel.people.errors import BadPassword

T = TypeVar("T")

SHORTEST = 8
LONGEST = 1024

_hasher = PasswordHasher()
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")
"""Each hash takes 64 MiB; this many at a time."""


def made() -> str:
    """Return a new password."""
    return secrets.token_urlsafe(15)


def digest(secret: str) -> str:
    """Return what a token or a cookie is kept as."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def hashed(password: str) -> str:
    """Return what a password is kept as. Raises BadPassword where it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadPassword
    return await _in_thread(lambda: _hasher.hash(password))


async def nobody() -> str:
    """Return a hash that no password fits, so that an unknown name takes as long as a known one."""
    return await _in_thread(_hash_of_nobody)


async def fits(hash: str, password: str) -> bool:
    """Return whether a password is the one that was hashed."""

    def verified() -> bool:
        try:
            return _hasher.verify(hash, password[:LONGEST])
        except VerifyMismatchError:
            return False

    return await _in_thread(verified)


@cache
def _hash_of_nobody() -> str:
    return _hasher.hash(made())


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)
