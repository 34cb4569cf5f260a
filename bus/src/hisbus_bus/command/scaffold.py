"""Writes the files to begin with (``hisbus new plugin``)."""

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from hisbus.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_templates = Environment(
    loader=PackageLoader("hisbus_bus.command", "templates"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=True,
)


def new_plugin(name: str, folder: Path) -> list[Path]:
    """Write a plugin whose test passes into a new folder of its name. Return the files.

    Args:
        name: of the plugin and of its agent.
        folder: in which its own is made.

    Raises:
        ConfigError: the name is none, or the folder is there.
    """
    if not NAME.fullmatch(name) or len(name) > 50:
        raise ConfigError("A plugin's name is of lower-case letters, digits and hyphens, and begins with a letter.")
    home, package = folder / name, f"hisbus_{name.replace('-', '_')}"
    files = {
        home / "pyproject.toml": "pyproject.toml.j2",
        home / "README.md": "README.md.j2",
        home / "src" / package / "__init__.py": "init.py.j2",
        home / "src" / package / "agent.py": "agent.py.j2",
        home / "src" / package / "py.typed": "",
        home / "tests" / f"test_{package.removeprefix('hisbus_')}_agent.py": "test_agent.py.j2",
    }
    try:
        home.mkdir(parents=True)
        for path, template in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_rendered(template, name, package), encoding="utf-8")
    except FileExistsError as error:
        raise ConfigError(f"{home} is there already. Choose another name or --folder.") from error
    except OSError as error:
        raise ConfigError(f"{home} cannot be written. Check --folder and its owner.") from error
    return list(files)


def _rendered(template: str, name: str, package: str) -> str:
    return _templates.get_template(f"plugin/{template}").render(name=name, package=package) if template else ""
