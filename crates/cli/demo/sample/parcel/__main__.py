"""Prints one line per parcel of an event file."""

import sys
from datetime import datetime, timezone
from itertools import groupby

from parcel.events import read_events
from parcel.status import status_of


def main(path: str) -> int:
    with open(path, newline="", encoding="utf-8") as file:
        events = sorted(read_events(file), key=lambda event: (event.parcel, event.at))
    now = datetime.now(timezone.utc)
    for parcel, scans in groupby(events, key=lambda event: event.parcel):
        print(f"{parcel}\t{status_of(list(scans), now).value}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m parcel events.csv")
    sys.exit(main(sys.argv[1]))
