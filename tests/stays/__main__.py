"""``python -m tests.stays [FOLDER]``: precision and recall of the rules over the hand-written stays, by rule."""

import sys
from pathlib import Path

from rich.console import Console
from tests.stays import FOLDER, read, score

out = Console(highlight=False, markup=False, soft_wrap=True)
stays = read(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
made = score(stays)
out.print(f"{len(stays)} stays; precision {made.precision:.2f}, recall {made.recall:.2f}")
for rule in sorted({*made.found, *made.missed, *made.wrong}):
    out.print(f"{rule}: {made.found[rule]} found, {made.missed[rule]} missed, {made.wrong[rule]} wrong")
out.print(*made.lines, sep="\n")
