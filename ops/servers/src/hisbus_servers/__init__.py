"""Real servers without Docker: Apache Kafka and PostgreSQL on 127.0.0.1, for tests, benchmarks and a laptop.

Every call is synchronous; tests use ``asyncio.to_thread``. A server never outlives the process that started it.
"""

from hisbus_servers.kafka import Kafka, TlsFiles
from hisbus_servers.postgres import Postgres
from hisbus_servers.process import ServerError

__all__ = ["Kafka", "Postgres", "ServerError", "TlsFiles"]
