"""Models whose lists and tables nobody can change: what is shown to one call is shown to the next."""

from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def _refuse(*_args: Any, **_more: Any) -> NoReturn:
    raise TypeError("A chart is shown to many calls: copy what you want to change.")


class FixedList(list[Any]):
    """A list that cannot be changed; a copy of it can."""

    __slots__ = ()
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """Be copied as an ordinary list."""
        return list, (list(self),)


class FixedDict(dict[Any, Any]):
    """A table that cannot be changed; a copy of it can."""

    __slots__ = ()
    clear = pop = popitem = setdefault = update = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """Be copied as an ordinary table."""
        return dict, (dict(self),)


def fix(model: M) -> M:
    """Return a frozen model, nobody else's yet, with its lists and tables fixed, and those of the models in it."""
    values = model.__dict__
    for name, value in values.items():
        if isinstance(value, list | dict | BaseModel):
            values[name] = _fixed(value)
    return model


def _fixed(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return fix(value)
    if isinstance(value, list):
        return FixedList([_fixed(each) for each in value])
    if isinstance(value, dict):
        return FixedDict({name: _fixed(each) for name, each in value.items()})
    return value
