"""An imaginary hospital: it sends a ward's week over MLLP, knows what must be found in it, and takes the write-backs.

Everything follows from a seed. `ward_week(1)` is the demo's week: 25 stays from Monday 2026-03-02 in Asia/Shanghai.
"""

from hisbus_simulator.oracle import Expected
from hisbus_simulator.week import Message, Week, ward_week

__all__ = ["Expected", "Message", "Week", "ward_week"]
