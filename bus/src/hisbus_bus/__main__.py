"""``python -m hisbus_bus`` is the command ``hisbus``."""

from hisbus_bus.command.main import main

main()
