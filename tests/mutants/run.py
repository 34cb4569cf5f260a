"""Breaks the program, one line at a time, and asks the tests whether they notice.

    .venv/bin/python tests/mutants/run.py [NAME...]

Each mutant of ``mutants.toml`` is applied alone to a copy of the tree, and the tests that it names are run there: at
least one must fail. Before, all of them must pass on the copy as it is. Writes ``var/mutants.json``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
WORKERS = 2
LONGEST_S = 300
PASSED, FAILED = 0, 1
"""What pytest exits with."""
out = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One break."""

    name: str
    file: str
    old: str
    new: str
    tests: Sequence[str]


class Copy:
    """A copy of the tree with an interpreter of its own, so that processes that tests start run the copy, too."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "main"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True,
            check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        if (ROOT.parent / "shared").is_dir():
            (folder / "shared").symlink_to(ROOT.parent / "shared")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.root / ".venv")], check=True)
        theirs = Path(sys.prefix, "lib", f"python3.{sys.version_info.minor}", "site-packages")
        ours = self.root / theirs.relative_to(Path(sys.prefix).parent)
        sources = sorted(str(path) for path in self.root.glob("**/src") if ".venv" not in path.parts)
        # A path in a .pth file is searched, but its own .pth files, which name the original tree, are not read.
        (ours / "copy.pth").write_text("\n".join([*sources, str(theirs)]) + "\n")

    def pytest(self, tests: Sequence[str]) -> tuple[int, str]:
        """Run tests until one fails. Return pytest's status and what it said last."""
        command = [
            str(self.root / ".venv/bin/python"),
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-m",
            "",
            *tests,
        ]
        wide = {**os.environ, "COLUMNS": "300"}  # or its summary would break off in the middle of a name
        try:
            done = subprocess.run(command, cwd=self.root, env=wide, capture_output=True, text=True, timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            return FAILED, "no end in sight"
        lines = (done.stdout + done.stderr).splitlines()
        said = [line.rpartition("::")[2] for line in lines if line.startswith(("FAILED", "ERROR")) and "::" in line]
        return done.returncode, (said or lines or [""])[0]

    def apply(self, mutant: Mutant) -> str:
        """Break the copy. Return the text as it was."""
        path = self.root / mutant.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return text


def mutants(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants of the list, or those named."""
    found = [
        Mutant(**{**table, "tests": tuple(table["tests"])})
        for table in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
    ]
    return [mutant for mutant in found if not names or mutant.name in names]


def mistakes(names: Sequence[str], chosen: Sequence[Mutant]) -> list[str]:
    """Return what is wrong with the list: a name that is not there, a line that is not there exactly once."""
    unknown = [f"{name}: there is no such mutant" for name in names if name not in {mutant.name for mutant in chosen}]
    counts = {mutant: (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) for mutant in chosen}
    return unknown + [
        f"{at.name}: its line is {count} times in {at.file}" for at, count in counts.items() if count != 1
    ]


def judge(copy: Copy, mutant: Mutant) -> dict[str, object]:
    """Apply one mutant, and say whether its tests noticed."""
    begun = time.monotonic()
    before = copy.apply(mutant)
    try:
        status, said = copy.pytest(mutant.tests)
    finally:
        (copy.root / mutant.file).write_text(before, encoding="utf-8")
    return {"name": mutant.name, "noticed": status == FAILED, "said": said, "seconds": time.monotonic() - begun}


def main(names: Sequence[str]) -> int:
    """Run the list. Return the exit status: 0 if every mutant was noticed."""
    chosen = mutants(names)
    if wrong := mistakes(names, chosen):
        out.print("\n".join(wrong), markup=False)
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Copy(Path(folder, str(number))) for number in range(WORKERS)]
        whole, said = copies[0].pytest(sorted({test for mutant in chosen for test in mutant.tests}))
        if whole != PASSED:
            out.print(f"The tests do not pass on the tree as it is: {said}", markup=False)
            return 2
        with ThreadPoolExecutor(WORKERS) as pool:
            shares = [chosen[number::WORKERS] for number in range(WORKERS)]
            work = [
                pool.submit(lambda copy, share: [judge(copy, mutant) for mutant in share], copy, share)
                for copy, share in zip(copies, shares, strict=True)
            ]
            results = [result for one in work for result in one.result()]
    report(results)
    return 0 if all(result["noticed"] for result in results) else 1


def report(results: Sequence[dict[str, object]]) -> None:
    """Print what became of each, and keep it."""
    for result in sorted(results, key=lambda result: str(result["name"])):
        out.print(
            "noticed " if result["noticed"] else "[red]SURVIVES[/]", f"{result['seconds']:5.1f} s ", result["name"]
        )
        out.print(" " * 18, str(result["said"])[:160], soft_wrap=True, markup=False, style="dim")
    out.print(f"{sum(bool(result['noticed']) for result in results)} of {len(results)} mutants were noticed.")
    (ROOT / "var").mkdir(exist_ok=True)
    (ROOT / "var/mutants.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
