"""What the messages of a connector mean: its profile, compiled, and the name of what was compiled.

It names no segment, element or column: those stand in profiles and in the functions that profiles name.
"""

from hisbus_mapping.asks import Asks
from hisbus_mapping.envelope import Judged
from hisbus_mapping.losses import Losses, losses_of
from hisbus_mapping.mapping import Answers, Mapping
from hisbus_mapping.overlay import Change, Doubt, changes, doubts
from hisbus_mapping.profile import Profile, read_profile, read_table
from hisbus_mapping.run import NONE
from hisbus_mapping.survey import Survey

__all__ = [
    "NONE", "Answers", "Asks", "Change", "Doubt", "Judged", "Losses", "Mapping", "Profile", "Survey", "changes",
    "doubts", "losses_of", "read_profile", "read_table",
]  # fmt: skip
