"""``python -m hisbus_servers``."""

from hisbus_servers.cli import main

main()
