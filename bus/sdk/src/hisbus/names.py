"""How agents, kinds of events, versions and rules are spelled, and what an agent can be granted.

The configuration knows these as well, and is read without all contracts, which take a tenth of a second to import.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Kind = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+!-]{1,64}$")]

Rule = Annotated[str, Field(min_length=1, max_length=200)]


def _known(grants: frozenset[str]) -> frozenset[str]:
    from hisbus_schemas import GRANTS, PROPOSALS

    if not grants <= {*GRANTS, *PROPOSALS}:
        raise ValueError(f"grants are {', '.join((*GRANTS, *PROPOSALS))}")
    return grants


Grants = Annotated[frozenset[str], AfterValidator(_known)]


def _item(name: str) -> str:
    from hisbus_schemas import is_item

    if not is_item(name):
        raise ValueError("an item is a part of the record, as document:C0026, field:FP.SEX, order:medication or class")
    return name.removesuffix(":*")


Item = Annotated[str, AfterValidator(_item)]
"""What a rule may need (``hisbus_schemas.Item``)."""
