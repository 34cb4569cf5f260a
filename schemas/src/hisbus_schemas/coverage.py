"""Coverage: what a site's feeds have brought so far, and so what may be judged."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from hisbus_schemas.contract import Contract

_ITEM = r"^[a-z]+(:\S{1,100})?$"
Item = Annotated[str, Field(pattern=_ITEM)]
"""A part of the record by its name, after ``:`` by its code: ``document:C0034``, ``section:48765-2``,
``field:FP.ALLERGY``, ``vital:8310-5``, ``order:medication`` (a class of orders), ``result:718-7``, ``charge:CODE``,
``diagnosis:final`` (a status), ``procedure:operation`` or ``procedure:CODE``, ``allergy:drug`` (a kind),
``administration:CODE``. A name alone, or with ``:*``, is any of them; ``class``, ``sex`` and ``disposition`` are of the
stay itself."""


def is_item(name: str) -> bool:
    """Tell whether a text names an item."""
    return re.fullmatch(_ITEM, name) is not None


def bare(item: str) -> str:
    """Return an item as coverage has it: ``document`` for ``document:*``."""
    return item.removesuffix(":*")


Covered = dict[Annotated[Item, AfterValidator(bare)], bool]
"""Of each item whether it comes."""


class Coverage(Contract):
    """What is connected at one version. Without a word about anything, everything is."""

    version: Annotated[int, Field(ge=0)] = 0
    """Raised by every change; 0: nothing was ever said."""
    others: bool = True
    """Whether an item comes that is named nowhere below."""
    site: Covered = {}
    """What was found or said of the whole site."""
    departments: dict[str, Covered] = {}
    """What was found or said of one department; it goes before what is said of the site."""

    @property
    def whole(self) -> bool:
        """Whether everything is connected."""
        return self.others and not (self.site or self.departments)

    def brings(self, item: str, department: str = "") -> bool:
        """Tell whether the feeds bring an item of a department's stays.

        Args:
            item: as a ``Need`` names it.
            department: of the stay; empty: the site.
        """
        its, named = self.departments.get(department, {}), bare(item)
        return its.get(named, self.site.get(named, self.others))
