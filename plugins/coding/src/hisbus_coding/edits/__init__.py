"""Deterministic edits: what is wrong with a set of codes, by rules that a machine can hold."""

from hisbus_coding.edits.claim import Claim
from hisbus_coding.edits.edit import EDITS, Edit, Hit, configured
from hisbus_coding.edits.run import judge

__all__ = ["EDITS", "Claim", "Edit", "Hit", "configured", "judge"]
