"""The load of the intake figures, in a process of its own: connections that send the next message after each answer.

``python -m tests.bench.gun PORT CONNECTIONS SECONDS NAME`` prints how many were stored, how many refused, and how long
it took.
"""

import sys
from itertools import repeat

import uvloop
from tests.bench.message import shots

from hisbus_simulator.load import fire

if __name__ == "__main__":
    port, connections, seconds, name = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    one_after_the_other = shots(name)
    fired = uvloop.run(fire("127.0.0.1", port, list(repeat(one_after_the_other, connections)), seconds))
    sys.stdout.write(f"{fired.stored} {fired.refused} {fired.seconds}\n")
