"""Reads scans."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

KINDS = ("recieved", "departed", "delivered", "returned")


@dataclass(frozen=True)
class Event:
    """One scan of one parcel."""

    at: datetime
    parcel: str
    kind: str
    place: str


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yields the scan of each row; a row that is none is an error that names its line."""
    for number, row in enumerate(csv.reader(lines), start=1):
        if len(row) != 4:
            raise ValueError(f"line {number}: expected 4 fields, found {len(row)}")
        at, parcel, kind, place = (field.strip() for field in row)
        if kind not in KINDS:
            raise ValueError(f"line {number}: unknown kind {kind!r}, expected one of {', '.join(KINDS)}")
        yield Event(datetime.fromisoformat(at), parcel, kind, place)
