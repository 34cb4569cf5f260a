"""Real servers without Docker: Kafka, PostgreSQL and vLLM on 127.0.0.1, for tests, benchmarks and a laptop.

Every call is synchronous; tests use ``asyncio.to_thread``. A server never outlives the process that started it.
"""

from hisbus_servers.kafka import Kafka, TlsFiles
from hisbus_servers.postgres import Postgres
from hisbus_servers.process import ServerError
from hisbus_servers.vllm import Vllm

__all__ = ["Kafka", "Postgres", "ServerError", "TlsFiles", "Vllm"]
