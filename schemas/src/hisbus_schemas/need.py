"""What a rule needs of the record before it may judge."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hisbus_schemas.assessment import Text
from hisbus_schemas.contract import Contract
from hisbus_schemas.coverage import Coverage, Item

EVERY_OTHER = "*"
"""In place of a rule's name: every rule that is not named, as those that a hospital adds."""


class RuleInfo(Contract):
    """What a rule is called, and who demands it: for the page of rules."""

    title: Text
    source: str = ""


class Need(Contract):
    """One thing that a rule needs: an item, or any of several."""

    item: Literal[""] | Item = ""
    any: Annotated[tuple[Item, ...], Field(max_length=1000)] = ()
    """In place of ``item``: one of these will do."""
    after: Literal["", "admission", "operation", "death", "discharge"] = ""
    """The fact of a stay that calls for it. Empty: none of these does, as an order's record."""
    part: str = ""
    """The part of the rule that needs it, which the agent leaves out where it does not come; empty: the whole rule."""

    @property
    def items(self) -> tuple[str, ...]:
        """What will do, each by itself."""
        return self.any or (self.item,)

    def hidden_by(self, unknown: Collection[str]) -> frozenset[str]:
        """Return which of the items that are unknown hide it; none where one that will do is not among them."""
        hiding = [{one for one in unknown if _same(item, one)} for item in self.items]
        return frozenset().union(*hiding) if all(hiding) else frozenset()

    def lacking(self, coverage: Coverage, department: str) -> tuple[str, ...]:
        """Return the items of which the feeds bring none; empty where one that will do comes."""
        return () if any(coverage.brings(item, department) for item in self.items) else self.items

    @model_validator(mode="after")
    def _one(self) -> "Need":
        if bool(self.item) == bool(self.any):
            raise ValueError("needs item or any, one of them")
        return self


def _same(one: str, other: str) -> bool:
    """Tell whether two items can be the same thing: ``document`` and ``document:*`` are every document."""
    kind, _, code = one.partition(":")
    its_kind, _, its_code = other.partition(":")
    return kind == its_kind and (code == its_code or bool({"", "*"} & {code, its_code}))
