"""The floor of intake: MLLP in, Kafka, acknowledgement out, and nothing else. asyncio streams and aiokafka, on uvloop.

``python -m tests.bench.floor_kafka PORT BOOTSTRAP TOPIC``
"""

import asyncio
import sys

import uvloop
from aiokafka import AIOKafkaProducer

END = b"\x1c\r"
LIMIT = 64 * 1024 * 1024


def accept(frame: bytes) -> tuple[bytes, bytes]:
    """Return the message's control id and its AA."""
    fields = frame[1 : frame.index(b"\r")].split(b"|", 10)
    header = b"|".join((b"MSH", fields[1], b"FLOOR", b"", fields[2], fields[3], b"20260302080000", b"", b"ACK"))
    return fields[9], b"".join((b"\x0b", header, b"|", fields[9], b"|P|2.5\rMSA|AA|", fields[9], b"\r", END))


async def serve(port: int, bootstrap: str, topic: str) -> None:
    """Take messages until killed."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=LIMIT, linger_ms=0
    )
    await producer.start()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(END)
                control_id, answer = accept(frame)
                await producer.send_and_wait(topic, frame[1:-2], key=control_id)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(attend, "127.0.0.1", port, limit=LIMIT)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
