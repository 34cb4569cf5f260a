"""Notes when proposals become visible, by looking every 5 ms, in a process of its own.

``python -m tests.bench.watch DATABASE`` prints each proposal's id and when it was first seen; a line on its standard
input ends it.
"""

import select as io
import sys
import time

from sqlalchemy import create_engine, select

from hisbus_bus.kernel.tables import proposal_history

EVERY_S = 0.005
OVERLAP = 200
"""Ids are given before commit, so a row may appear behind a higher one."""

if __name__ == "__main__":
    engine = create_engine(sys.argv[1].replace("postgresql:", "postgresql+psycopg:", 1), isolation_level="AUTOCOMMIT")
    row = proposal_history.c
    seen: set[str] = set()
    last = 0
    with engine.connect() as connection:
        while not io.select([sys.stdin], [], [], EVERY_S)[0]:
            query = select(row.id, row.proposal).where(row.id > last - OVERLAP, row.status == "open")
            found = connection.execute(query).all()
            now = time.time()
            for id, proposal in found:
                last = max(last, id)
                if proposal not in seen:
                    seen.add(proposal)
                    sys.stdout.write(f"{proposal} {now}\n")
