"""The name of a mapping: a hash of everything that decides what a message means, so that nobody counts versions.

Code counts by its syntax tree, without comments, docstrings and layout. Which code: the function that the profile
names, the connector's ``read``, our compiler, and the modules of the same packages that they import.
"""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from importlib.abc import InspectLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from hisbus import ConfigError, Connector
from hisbus_mapping import compile
from hisbus_mapping.functions import named
from hisbus_mapping.profile import Profile


def name_of(profile: Profile, connector: Connector) -> str:
    """Return the name of what a connector's messages mean under a profile.

    Raises:
        ConfigError: the source of some of its code is not there to be read.
    """
    settings = {
        "connector": connector.name,
        "authority": connector.authority,
        "timezone": connector.timezone,
        **connector.meaning,
    }
    said = [profile.model_dump_json(exclude={"out"}), *(f"{key}={value}" for key, value in sorted(settings.items()))]
    said += [f"{module} {_told(tree)}" for module, tree in sorted(_trees(profile, connector).items())]
    said.append(_told(ast.parse(textwrap.dedent(inspect.getsource(_read(connector))))))
    digest = hashlib.sha256()
    for part in said:
        digest.update(part.encode() + b"\0")
    return f"{profile.name}-{digest.hexdigest()[:16]}"


def modules_of(profile: Profile, connector: Connector) -> list[str]:
    """Return the names of the modules whose code decides what a message means, sorted."""
    return sorted(_trees(profile, connector))


def _trees(profile: Profile, connector: Connector) -> dict[str, ast.Module]:
    found: dict[str, ast.Module] = {}
    waiting = {compile.__name__, *(name.partition(":")[0] for _, name in named(profile)), *_read_from(_read(connector))}
    if connector.format is not None:
        waiting.add(type(connector.format).__module__)
    while waiting:
        module = waiting.pop()
        found[module] = tree = _tree(module)
        waiting |= set(_imported(module, tree)) - found.keys()
    return found


def _read(connector: Connector) -> Callable[..., Any]:
    read: Callable[..., Any] = inspect.unwrap(type(connector).read)
    return read


def _read_from(read: Callable[..., Any]) -> Iterator[str]:
    """Yield the modules of its own package that ``read`` takes its names from."""
    own = read.__module__.partition(".")[0]
    for name in read.__code__.co_names:
        value = read.__globals__.get(name)
        module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(module, str) and module.partition(".")[0] == own:
            yield module


def _imported(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield the modules of its own package that a module imports, wherever in it."""
    own = module.partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == own)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(module, node)
            if origin.partition(".")[0] == own:
                yield from _named(origin, [alias.name for alias in node.names])


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    spec = find_spec(module)
    package = module if spec is not None and spec.submodule_search_locations else module.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


def _named(origin: str, names: list[str]) -> Iterator[str]:
    """Yield what ``from origin import names`` takes: modules of a package, else what the package itself says."""
    spec = find_spec(origin)
    package = spec is not None and spec.submodule_search_locations is not None
    modules = [f"{origin}.{name}" for name in names if package and find_spec(f"{origin}.{name}")]
    yield from modules
    if len(modules) < len(names):
        yield origin


def _tree(module: str) -> ast.Module:
    spec = find_spec(module)
    loader = spec.loader if spec is not None else None
    try:
        text = loader.get_source(module) if isinstance(loader, InspectLoader) else None
    except ImportError:
        text = None
    if text is None:
        raise ConfigError(f"The source of {module} is not installed, so changes of it could not be seen. Install it.")
    return ast.parse(text)


def _told(node: Any) -> str:
    """Return a syntax tree as text, without docstrings, and without what a newer Python adds and nobody has written."""
    if isinstance(node, list):
        kept = [one for one in node if not _is_docstring(one)]
        return f"[{','.join(map(_told, kept))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return f"{type(node).__name__}({','.join(f'{name}={_told(value)}' for name, value in fields)})"


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
