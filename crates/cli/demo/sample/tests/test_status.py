import unittest
from datetime import datetime, timedelta, timezone

from parcel.events import Event
from parcel.status import Status, status_of

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def scan(kind: str) -> Event:
    return Event(NOON, "PX-1001", kind, "Hamburg")


class StatusOf(unittest.TestCase):
    def test_the_last_scan_decides(self):
        later = NOON + timedelta(hours=1)
        self.assertIs(status_of([scan("recieved")], later), Status.WAITING)
        self.assertIs(status_of([scan("recieved"), scan("departed")], later), Status.MOVING)

    def test_three_quiet_days_mean_stuck(self):
        self.assertIs(status_of([scan("departed")], NOON + timedelta(days=4)), Status.STUCK)
