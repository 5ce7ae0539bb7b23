import unittest

from parcel.events import read_events


class ReadEvents(unittest.TestCase):
    def test_a_row_is_a_scan(self):
        [event] = read_events(["2026-03-01T09:14:00+00:00,PX-1001,recieved,Hamburg"])
        self.assertEqual((event.parcel, event.kind, event.place), ("PX-1001", "recieved", "Hamburg"))

    def test_an_unknown_kind_names_its_line(self):
        with self.assertRaisesRegex(ValueError, "line 1: unknown kind"):
            list(read_events(["2026-03-01T09:14:00+00:00,PX-1001,lost,Hamburg"]))
