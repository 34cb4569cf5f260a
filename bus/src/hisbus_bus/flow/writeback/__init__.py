"""Write-back: what a person accepted goes back to the HIS, at most once, or is visible as undecided."""

from hisbus_bus.flow.writeback.ledger import waiting
from hisbus_bus.flow.writeback.resolve import Incomplete, NotWaiting, Unknown, resolve
from hisbus_bus.flow.writeback.sender import Sender
from hisbus_bus.flow.writeback.step import WriteBackStep

__all__ = ["Incomplete", "NotWaiting", "Sender", "Unknown", "WriteBackStep", "resolve", "waiting"]
