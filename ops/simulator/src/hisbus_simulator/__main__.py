"""``python -m hisbus_simulator``."""

from hisbus_simulator.cli import main

main()
