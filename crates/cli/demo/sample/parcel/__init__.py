"""Tracks parcels from the first scan to the front door."""

from parcel.events import Event, read_events
from parcel.status import Status, status_of

__all__ = ["Event", "Status", "read_events", "status_of"]
