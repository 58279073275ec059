"""gatekeeper/journal/archive.py: files that are whole, checked and replaced at once."""

from __future__ import annotations

import gzip
import uuid

import orjson
import pytest
from attempts import attempt
from factories import NOW

from gatekeeper.journal.archive import Archive, ArchiveFault, Contents, read, verify
from gatekeeper.journal.rows import public

MONTH = "2027-01"


def line(number: int, **changes: object) -> str:
    return orjson.dumps(public(attempt(time=NOW + number // 2, id=uuid.UUID(int=number), **changes))).decode()


def write(archive: Archive, *lines: str) -> int:
    writer = archive.writer(MONTH)
    try:
        writer.add(list(lines[:1]))
        writer.add(list(lines[1:]))
        return writer.finish()
    finally:
        writer.discard()


def rows(archive: Archive) -> list[dict[str, object]]:
    return [row for batch in read(archive.path(MONTH), 3) for row in batch]


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


def test_what_was_archived_is_read_back_and_says_how_much_it_is(archive):
    lines = [line(number) for number in range(7)]
    assert write(archive, *lines) == 7
    assert rows(archive) == [orjson.loads(one) for one in lines]
    assert verify(archive.path(MONTH)) == Contents(MONTH, 7)
    assert archive.months() == [MONTH]
    assert (archive.path(MONTH).stat().st_mode & 0o777, archive.folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_month_that_comes_a_second_time_is_merged_in_order_and_doubles_nothing(archive):
    write(archive, *(line(number) for number in (1, 2, 4, 7)))
    assert write(archive, *(line(number) for number in (0, 2, 3, 4, 9))) == 7
    assert [row["id"] for row in rows(archive)] == [str(uuid.UUID(int=number)) for number in (0, 1, 2, 3, 4, 7, 9)]


def test_an_empty_month_is_a_good_file(archive):
    writer = archive.writer(MONTH)
    writer.finish()
    writer.discard()
    assert verify(archive.path(MONTH)) == Contents(MONTH, 0)


def test_a_writer_that_stops_in_the_middle_leaves_the_file_as_it_was(archive):
    write(archive, line(1))
    writer = archive.writer(MONTH)
    writer.add([line(2)])
    writer.discard()
    assert [path.name for path in archive.folder.iterdir()] == ["login-log-2027-01.jsonl.gz"]
    assert len(rows(archive)) == 1


def _cut_off(data: bytes) -> bytes:
    return data[:-20]


def _without_its_end(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).rsplit(b"\n", 2)[0] + b"\n")


def _changed(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b"192.0.2.1", b"192.0.2.9", 1))


def _short_of_a_row(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).partition(b"\n")[2])


def _newer(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"version":1', b'"version":2'))


def _no_archive(_data: bytes) -> bytes:
    return b"hello"


@pytest.mark.parametrize("damage", [_cut_off, _without_its_end, _changed, _short_of_a_row, _newer, _no_archive])
def test_a_damaged_file_is_refused_by_name_and_never_merged_with(archive, damage):
    write(archive, *(line(number) for number in range(3)))
    path = archive.path(MONTH)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArchiveFault, match=path.name):
        verify(path)
    before = path.read_bytes()
    with pytest.raises(ArchiveFault):
        write(archive, line(9))
    with pytest.raises(ArchiveFault):
        archive.keep(MONTH, lambda _row: True)
    assert path.read_bytes() == before


def test_rows_can_be_taken_out_of_a_file(archive):
    write(archive, line(1, email="eve"), line(2), line(3, email="eve"))
    assert archive.keep(MONTH, lambda row: row["email"] != "eve") == 2
    assert verify(archive.path(MONTH)) == Contents(MONTH, 1)
    stamp = archive.path(MONTH).stat().st_mtime_ns
    assert archive.keep(MONTH, lambda row: row["email"] != "eve") == 0
    assert archive.path(MONTH).stat().st_mtime_ns == stamp, "it was written again for nothing"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveFault, match="Not a directory"):
        write(Archive(tmp_path / "file" / "archive"), line(1))
    with pytest.raises(ArchiveFault, match="there is no such file"):
        verify(tmp_path / "nothing.jsonl.gz")
