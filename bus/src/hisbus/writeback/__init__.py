"""Write-back: what a person accepted goes back to the HIS, at most once, or is visible as undecided."""

from hisbus.writeback.ledger import waiting
from hisbus.writeback.resolve import Incomplete, NotWaiting, Unknown, resolve
from hisbus.writeback.sender import Sender
from hisbus.writeback.step import WriteBackStep

__all__ = ["Incomplete", "NotWaiting", "Sender", "Unknown", "WriteBackStep", "resolve", "waiting"]
