"""The file under traces, results and rollouts: torn lines, full disks, kills, several writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.core import record_file
from ttscale.core.record_file import RecordFile

LINES = st.lists(st.binary(max_size=9).map(lambda text: text.replace(b"\n", b"") + b"\n"), max_size=9)


@given(LINES, st.integers(0, 100), st.integers(1, 20))
def test_what_a_kill_tore_is_cut_off_and_all_before_stays(lines: list[bytes], kept: int, back: int) -> None:
    """Wherever the file ends, and however little of it is read at once."""
    whole = b"".join(lines)[:kept]
    expected = whole[: whole.rfind(b"\n") + 1]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(record_file, "BACK", back)
        path = Path(folder) / "f"
        path.write_bytes(whole)
        file = RecordFile(path, alone=False)
        assert b"".join(file.lines()) == expected
        with file.locked():
            file.cut_torn_line()
            file.append(b"next\n")
        assert list(file.lines(len(expected))) == [b"next\n"]
        assert file.read(len(expected), 4) == b"next"
        file.close()
        assert path.read_bytes() == expected + b"next\n"


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("room", [0, 1, 7, 12])
def test_a_full_disk_takes_back_the_part_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool, room: int
) -> None:
    file = RecordFile(tmp_path / "f", alone=alone)
    file.append(b"before\n")
    write, left = os.write, [room]

    def full(number: int, data: Any) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        done = write(number, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(
        OSError, match=r"could not write \(No space left on device\)\. What was written before is safe"
    ) as error:
        file.append(b"a line that is longer\n")
    assert (error.value.errno, error.value.filename) == (28, str(tmp_path / "f"))
    monkeypatch.undo()
    file.append(b"after\n")
    file.close()
    assert (tmp_path / "f").read_bytes() == b"before\nafter\n"


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda number, data: write(number, data[:3]))
    file = RecordFile(tmp_path / "f", alone=True)
    file.append(b"more than three bytes\n")
    file.close()
    assert (tmp_path / "f").read_bytes() == b"more than three bytes\n"


@pytest.mark.parametrize("sync", [True, False])
def test_the_disk_has_a_line_before_append_returns_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    done: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *given: done.append("write") or write(*given))
    monkeypatch.setattr(os, "fsync", lambda *given: done.append("sync") or fsync(*given))
    file = RecordFile(tmp_path / "f", alone=True, sync=sync)
    file.append(b"x\n")
    file.close()
    assert done == (["write", "sync"] if sync else ["write"])


WRITER = """
import sys
from ttscale.core.record_file import RecordFile
file = RecordFile(sys.argv[1], alone=False)
for i in range(200):
    with file.locked():
        file.cut_torn_line()
        file.append(f"{sys.argv[2]} {i}\\n".encode())
"""


def test_several_writers_take_turns(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "f"), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = (tmp_path / "f").read_text().splitlines()
    for name in "abc":
        assert [line for line in lines if line.startswith(name)] == [f"{name} {i}" for i in range(200)]


def test_a_second_writer_is_refused_where_one_wants_to_be_alone_until_the_first_has_gone(tmp_path: Path) -> None:
    script = "import sys; from ttscale.core.record_file import RecordFile; RecordFile(sys.argv[1], alone=True)"
    first = RecordFile(tmp_path / "f", alone=True)
    command = [sys.executable, "-c", script, str(tmp_path / "f")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"RuntimeError: another process is writing to {tmp_path / 'f'}; wait for it, or give each run a file of its own"
    )
    first.close()
    first.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_the_lock_of_a_killed_writer_dies_with_it(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from ttscale.core.record_file import RecordFile; "
        "file = RecordFile(sys.argv[1], alone=True); file.append(b'whole\\n'); os.write(file._file, b'to'); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "f")], check=False)
    assert killed.returncode == -signal.SIGKILL
    file = RecordFile(tmp_path / "f", alone=True)
    assert list(file.lines()) == [b"whole\n"]
    file.cut_torn_line()
    assert file.size == 6
    file.close()
