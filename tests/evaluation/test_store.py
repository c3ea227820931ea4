"""The file of results: torn lines, several writers, claims that die with their process, and files that are not ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evaluation.killing import CONTEXT, in_other_processes
from ttscale.evaluation.collect.result_store import Store, check_format, read_store

HEADER = {"ttscale": "test/1", "seed": 0}


@dataclass(frozen=True)
class Line:
    key: str
    value: int


def parse(data: Mapping[str, Any]) -> Line:
    return Line(data["key"], data["value"])


def check(header: Mapping[str, Any]) -> None:
    check_format(header, "test/1", "the file")
    if header["seed"] != 0:
        raise ValueError("another seed")


def opened(path: Path | None) -> Store[Line]:
    return Store(path, HEADER, check, parse)


def line(key: str, value: int) -> dict[str, Any]:
    return {"key": key, "value": value}


def test_what_is_written_is_there_the_next_time(tmp_path: Path) -> None:
    with opened(tmp_path / "deep" / "s.jsonl") as store:
        store.append(line("a", 1))
        store.append(line("b", 2))
        assert store.records == {"a": Line("a", 1), "b": Line("b", 2)}
    with opened(tmp_path / "deep" / "s.jsonl") as store:
        assert store.records == {"a": Line("a", 1), "b": Line("b", 2)}
    assert read_store(tmp_path / "deep" / "s.jsonl", "test/1", parse) == (HEADER, [Line("a", 1), Line("b", 2)])


def test_the_first_record_of_a_key_counts(tmp_path: Path) -> None:
    for path in (tmp_path / "s.jsonl", None):
        with opened(path) as store:
            store.append(line("a", 1))
            store.append(line("a", 2))
            assert store.records == {"a": Line("a", 1)}


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_line_torn_anywhere_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "s.jsonl"
    with opened(path) as store:
        store.append(line("a", 1))
        store.append(line("b", 2))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    with opened(path) as store:
        store.append(line("c", 3))
        store.append(line("b", 2))
        assert store.records["c"] == Line("c", 3)
        assert store.records["b"] == Line("b", 2)
    for text in path.read_text().splitlines():
        assert text.startswith("{")
        assert text.endswith("}")


def test_a_long_torn_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with opened(path) as store:
        store.append(line("a", 1))
    with path.open("ab") as file:
        file.write(b'{"key":"' + b"x" * 300_000)
    with opened(path) as store:
        assert list(store.records) == ["a"]
    assert len(path.read_bytes()) < 1_000


def test_a_reader_sees_what_others_append_but_no_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with opened(path) as one, opened(path) as other:
        one.append(line("a", 1))
        other.refresh()
        assert list(other.records) == ["a"]
        with path.open("ab") as file:
            file.write(b'{"key":"b","val')
            file.flush()
            other.refresh()
            assert list(other.records) == ["a"]
        assert read_store(path, "test/1", parse)[1] == [Line("a", 1)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"dear diary\n", "is left as it is"),
        (b"dear diary, no newline", "is left as it is"),
        (b'{"ttscale": "other/1"}\n', "its first line should say 'test/1' and says 'other/1'"),
        (b'{"ttscale":"test/1","seed":7}\n', "another seed"),
        (b'{"ttscale":"test/1","seed":0}\nnonsense\n{"key":"a","value":1}\n', "line 2, is damaged"),
        (b'{"ttscale":"test/1","seed":0}\n[1]\n', "line 2: expected an object"),
        (b'{"ttscale":"test/1","seed":0}\n{"key":"a"}\n', "line 2: not a record of this file .KeyError"),
    ],
)
def test_files_that_are_not_ours_or_damaged_are_refused_untouched(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said), opened(path):
        pass
    assert path.read_bytes() == content


def test_a_disk_that_is_full_is_said_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.jsonl"
    write = os.write
    with opened(path) as store:
        store.append(line("a", 1))

        def full(file: int, data: bytes) -> int:
            if len(data) > 10:
                return write(file, data[:10])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"What was written before is safe\. Make room and start again"):
            store.append(line("b", 2))
        monkeypatch.undo()
        store.append(line("b", 2))
    assert read_store(path, "test/1", parse)[1] == [Line("a", 1), Line("b", 2)]


def test_a_header_may_say_more_later(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    more = {**HEADER, "more": 1}
    for _ in range(2):
        with opened(path) as store:
            store.append(line("a", 1))
            store.amend(lambda found: {**found, "more": 1})
            assert store.header == more
    with opened(path) as store:
        assert (store.header, list(store.records)) == (more, ["a"])
    assert read_store(path, "test/1", parse) == (more, [Line("a", 1)])
    assert sum('"more"' in text for text in path.read_text().splitlines()) == 1
    with path.open("a") as file:
        file.write('{"ttscale":"test/1","seed":1}\n')
    with pytest.raises(ValueError, match="another seed"):
        opened(path)


def test_lines_that_come_while_others_are_read_are_read_next(tmp_path: Path) -> None:
    """A writer was killed in the middle of a line; another cuts it off and appends while a third one reads."""
    path = tmp_path / "s.jsonl"
    armed = []

    def slow(data: Mapping[str, Any]) -> Line:
        while armed:
            armed.pop().append(line("new", 2))
        return parse(data)

    with opened(path) as writer, Store(path, HEADER, check, slow) as reader:
        writer.append(line("a", 1))
        with path.open("ab") as file:
            file.write(b'{"key":"torn","value":' + b"1" * 10_000)
        armed.append(writer)
        reader.refresh()
        reader.refresh()
        assert list(reader.records) == ["a", "new"]


def write_all(path: Path, writer: int) -> None:
    """Fifty records that every writer wants, and fifty of its own."""
    with opened(path) as store:
        for place in range(50):
            for key in (f"shared {place}", f"{writer} {place}"):
                if store.claim(key):
                    store.append(line(key, place))
                    store.release(key)


def test_writers_at_the_same_time_lose_and_repeat_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    in_other_processes(write_all, *[(path, writer) for writer in range(4)])
    records = read_store(path, "test/1", parse)[1]
    expected = {f"shared {i}": i for i in range(50)} | {f"{w} {i}": i for w in range(4) for i in range(50)}
    assert {record.key: record.value for record in records} == expected
    assert path.read_bytes().count(b"\n") == 1 + len(expected)


def hold(path: Path, key: str, ready: Any, die: Any) -> None:
    with opened(path) as store:
        assert store.claim(key)
        ready.set()
        die.wait()


def test_a_claim_keeps_others_out_and_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    ready, die = CONTEXT.Event(), CONTEXT.Event()
    holder = CONTEXT.Process(target=hold, args=(path, "a", ready, die))
    holder.start()
    ready.wait()
    with opened(path) as store:
        assert not store.claim("a")
        assert store.claim("b")
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        assert store.claim("a", wait=True)
    holder.join()


def test_what_is_done_cannot_be_claimed(tmp_path: Path) -> None:
    for path in (tmp_path / "s.jsonl", None):
        with opened(path) as store:
            assert store.claim("a")
            store.append(line("a", 1))
            store.release("a")
            assert not store.claim("a")
            assert not store.claim("a", wait=True)
