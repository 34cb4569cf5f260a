"""Why a server cannot be used: its address and the cause, never a password and never the words of a library."""

import asyncio
import re
import socket
from collections.abc import Iterator

from sqlalchemy import make_url

from hisbus_bus.kernel.settings import LogSettings

PATIENCE_S = 5.0
"""How long a server may take to take a connection."""
_POSTGRESQL, _KAFKA = 5432, 9092

_SAID = (
    (r"password authentication failed|no password supplied|认证失败", "it refuses the password"),
    (r"no pg_hba\.conf entry|pg_hba", "its pg_hba.conf does not let that user in from this machine"),
    (r'database ".*" does not exist|数据库.*不存在', "it has no such database"),
    (r'role ".*" does not exist|角色.*不存在', "it has no such user"),
    (r"too many (clients|connections)|connection slots", "all its connections are in use"),
    (r"starting up|shutting down|recovery", "it starts or stops just now"),
    (r"SSL|TLS", "it does not agree on TLS with us"),
)
"""What PostgreSQL says when it takes a connection and no log-in, and what it means."""


async def unreached(where: str) -> str:
    """Return why no connection to ``HOST:PORT`` can be made, one sentence; empty: it can."""
    host, _, port = where.rpartition(":")
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except socket.gaierror:
        return f"no host of the name in {where} is known. Correct the name, or make this machine's DNS know it."
    except ConnectionRefusedError:
        return f"nobody takes connections at {where}. Start the server there, or correct the address."
    except TimeoutError:
        return f"{where} does not answer within {PATIENCE_S:.0f} s. Correct the address, or open the firewall between."
    except (OSError, ValueError):
        return f"{where} cannot be reached. Correct the address, or this machine's network."
    writer.close()
    return ""


async def postgresql(url: str, error: BaseException) -> str:
    """Return why a PostgreSQL cannot be used.

    Args:
        url: of the database, with or without a password, which is not shown.
        error: that it was met with; what the server said is looked for in its causes.
    """
    made = make_url(url)
    name = made.database or made.username or ""
    if not made.host:
        return (
            f"the database {name!r} cannot be used over the local socket. Name its host: postgresql://USER@HOST/NAME."
        )
    host = f"[{made.host}]" if ":" in made.host else made.host
    where = f"{host}:{made.port or _POSTGRESQL}"
    why = await unreached(where)
    if why:
        return why
    said = " ".join(str(cause) for cause in _causes(error))
    cause = next(
        (words for pattern, words in _SAID if re.search(pattern, said)), "it does not let us in; its log says why"
    )
    return f"{where}, as user {made.username!r} to database {name!r}: {cause}."


async def kafka(settings: LogSettings) -> list[str]:
    """Return why the brokers cannot be used, one sentence for each that takes no connection; else one for all."""
    brokers = [broker.strip() for broker in settings.url.removeprefix("kafka://").split(",")]
    brokers = [broker if re.search(r":\d+$", broker) else f"{broker}:{_KAFKA}" for broker in brokers]
    reasons = await asyncio.gather(*(unreached(broker) for broker in brokers))
    if all(reasons):
        return list(reasons)
    how = "over TLS" if settings.tls_ca_file is not None else "without TLS (log.tls_ca_file is not set)"
    return [
        f"{', '.join(brokers)}: connections are taken, and nobody answers as Kafka does {how}."
        " Correct the addresses and log.tls_*."
    ]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
