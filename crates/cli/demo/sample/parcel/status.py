"""Says where a parcel stands."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from parcel.events import Event

STUCK_AFTER = timedelta(days=3)


class Status(Enum):
    WAITING = "waiting"
    MOVING = "moving"
    STUCK = "stuck"
    DELIVERED = "delivered"
    RETURNED = "returned"


def status_of(scans: Sequence[Event], now: datetime) -> Status:
    """Returns the status after the last of `scans`, which are in order of time."""
    last = scans[-1]
    if last.kind == "delivered":
        return Status.DELIVERED
    if last.kind == "returned":
        return Status.RETURNED
    if now - last.at > STUCK_AFTER:
        return Status.STUCK
    return Status.WAITING if last.kind == "recieved" else Status.MOVING
