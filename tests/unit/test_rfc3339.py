"""Times are written and read as RFC 3339 has them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mesh_lab.rfc3339 import file_stamp, micro_timestamp, nano_timestamp, now, parse, timestamp

MOMENT = datetime(2024, 5, 1, 14, 30, 0, 900_001, tzinfo=timezone(timedelta(hours=2)))


def test_times_are_written_in_utc() -> None:
    assert timestamp(MOMENT) == "2024-05-01T12:30:00Z"
    assert micro_timestamp(MOMENT) == "2024-05-01T12:30:00.900001Z"
    assert nano_timestamp(MOMENT) == "2024-05-01T12:30:00.900001000Z"


def test_without_a_moment_the_present_is_meant() -> None:
    before = now()
    written = (timestamp(), micro_timestamp(), nano_timestamp())
    after = datetime.now(UTC)
    assert [len(text) for text in written] == [20, 27, 30]
    assert all(before <= parse(text) <= after for text in written)


@pytest.mark.parametrize("text", ["2024-05-01T12:30:00", "2024-05-01T12:30:00Z", "2024-05-01T14:30:00.000+02:00"])
def test_a_time_without_a_zone_is_utc(text: str) -> None:
    assert parse(text) == datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


def test_what_is_no_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        parse("yesterday")


def test_the_stamp_of_a_file_is_the_present_without_what_names_of_files_do_not_take() -> None:
    before = now()
    stamp = file_stamp()
    assert re.fullmatch(r"\d{8}T\d{6}Z", stamp)
    assert before <= parse(stamp) <= datetime.now(UTC)
