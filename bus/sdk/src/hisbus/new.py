"""Writes the files to begin with: ``python -m hisbus.new plugin NAME``. The standard library is all that it needs."""

import argparse
import re
import sys
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from string import Template

from hisbus.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
AGENTS, CONNECTORS = "hisbus.agents", "hisbus.connectors"
"""Groups of entry points, as ``hisbus.load`` has them, which needs more than the standard library."""
LONGEST = 50
"""Of a name, characters."""


def plugin(name: str, folder: Path) -> list[Path]:
    """Write a plugin whose tests pass into a new folder of its name. Return the files.

    Args:
        name: of the plugin and of its agent.
        folder: in which its own is made.

    Raises:
        ConfigError: the name is none or taken, or the folder is there.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ConfigError("A plugin's name is of lower-case letters, digits and hyphens, and begins with a letter.")
    if owner := _owner(name):
        raise ConfigError(f"The name {name} is taken: {owner} is installed here. Choose another.")
    home, package = folder / name, f"hisbus_{name.replace('-', '_')}"
    written = {
        home / "pyproject.toml": "pyproject.toml",
        home / "README.md": "README.md",
        home / "src" / package / "__init__.py": "init.py",
        home / "src" / package / "agent.py": "agent.py",
        home / "src" / package / "py.typed": "",
        home / "tests" / f"test_{package.removeprefix('hisbus_')}_agent.py": "test_agent.py",
    }
    try:
        home.mkdir(parents=True)
        for path, template in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(template, name, package), encoding="utf-8")
    except FileExistsError as error:
        raise ConfigError(f"{home} is there already. Choose another name or --folder.") from error
    except OSError as error:
        raise ConfigError(f"{home} cannot be written. Check --folder and its owner.") from error
    return list(written)


def _owner(name: str) -> str:
    """Return the installed distribution beside which a plugin of this name could not be; empty where there is none."""
    if name == "hisbus":
        return name
    points = (point for group in (AGENTS, CONNECTORS) for point in metadata.entry_points(group=group, name=name))
    for owner in (point.dist.name for point in points if point.dist is not None):
        return owner
    try:
        return metadata.distribution(f"hisbus-{name}").name
    except metadata.PackageNotFoundError:
        return ""


def _filled(template: str, name: str, package: str) -> str:
    if not template:
        return ""
    text = files("hisbus").joinpath("templates", "plugin", f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(name=name, package=package)


def main() -> None:
    """Run the command, and print the files that were written."""
    asked = argparse.ArgumentParser(prog="python -m hisbus.new", description="Files to begin with.")
    asked.add_argument("what", choices=["plugin"], help="A plugin whose tests pass: its agent, its test, its README.")
    asked.add_argument("name", help="Lower-case letters, digits, hyphens.")
    asked.add_argument("--folder", type=Path, default=Path(), help="In which its folder is made.")
    wanted = asked.parse_args()
    try:
        for path in plugin(wanted.name, wanted.folder):
            sys.stdout.write(f"{path}\n")
    except ConfigError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
