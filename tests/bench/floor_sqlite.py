"""The floor of intake on the embedded log: MLLP in, one SQLite file with group commit, acknowledgement out.

``python -m tests.bench.floor_sqlite PORT FILE``
"""

import asyncio
import queue
import sqlite3
import sys
import threading

import uvloop
from tests.bench.floor_kafka import END, LIMIT, accept

Job = tuple[bytes, bytes, "asyncio.Future[None]"]


def write(path: str, jobs: "queue.SimpleQueue[Job]", loop: asyncio.AbstractEventLoop) -> None:
    """Write what waits in one durable transaction, again and again."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, key BLOB, value BLOB)")
    while True:
        group = [jobs.get()]
        while not jobs.empty():
            group.append(jobs.get())
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO records (key, value) VALUES (?, ?)", [job[:2] for job in group])
        connection.execute("COMMIT")
        loop.call_soon_threadsafe(tell, [job[2] for job in group])


def tell(stored: list["asyncio.Future[None]"]) -> None:
    """Let the connections go on."""
    for future in stored:
        if not future.done():
            future.set_result(None)


async def serve(port: int, path: str) -> None:
    """Take messages until killed."""
    loop = asyncio.get_running_loop()
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=write, args=(path, jobs, loop), daemon=True).start()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(END)
                control_id, answer = accept(frame)
                stored = loop.create_future()
                jobs.put((control_id, frame[1:-2], stored))
                await stored
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(attend, "127.0.0.1", port, limit=LIMIT)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
