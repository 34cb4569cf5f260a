"""Terminologies: code systems with their names, notes and provenance, in one SQLite file for each site.

``hisbus terms load`` writes the file (``store``, from ``icd10cm`` or ``table``); agents read it (``Terms``). A new
load is a new file under the old name, so a reader never sees half of one. Only the standard library is needed.
"""

from hisbus.terms.reader import Concept, Hit, Note, Terms, opened
from hisbus.terms.release import KINDS, Release
from hisbus.terms.spans import Span, covers, plain

__all__ = ["KINDS", "Concept", "Hit", "Note", "Release", "Span", "Terms", "covers", "opened", "plain"]
