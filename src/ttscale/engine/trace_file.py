"""A trace on disk while a run goes on: appended line by line, locked, and read back by offset.

Lines go out in single appends, so a killed process leaves at most one torn line at the end, which the next run cuts
off. Only offsets are kept in memory.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttscale.core.requests import Reply, Request
from ttscale.core.trace import (
    SCHEMA,
    Address,
    Event,
    address,
    dump,
    event_address,
    parse_lines,
    read_reply,
    reply_event,
)

if sys.platform != "win32":
    import fcntl


class TraceFile:
    """An open trace. Use as a context manager."""

    def __init__(self, path: str | Path, roles: Mapping[str, str]) -> None:
        """Open or create ``path``; ``roles`` are the names of the models of this run.

        Raises ``ValueError`` when the file is no trace or was recorded with other models, ``RuntimeError`` when another
        process is writing to it.
        """
        self.path = Path(path)
        self._places: dict[Address, tuple[int, int]] = {}
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self._read(roles)
        except BaseException:
            os.close(self._file)
            raise
        self.write({"event": "run", "schema": SCHEMA, "roles": dict(roles)})

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def write(self, event: Event) -> None:
        """Append one event."""
        data = dump(event).encode()
        while data:
            data = data[os.write(self._file, data) :]

    def record(self, request: Request, reply: Reply) -> None:
        """Append a reply."""
        self.write(reply_event(request, reply))

    def recall(self, request: Request) -> Reply | None:
        """The recorded reply to a request, if there is one."""
        place = self._places.get(address(request)) if self._places else None
        if place is None:
            return None
        offset, length = place
        try:
            return read_reply(json.loads(os.pread(self._file, length, offset)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}, byte {offset}: not a reply that this version of ttscale reads; repair or remove the file"
            ) from error

    def _lock(self) -> None:
        if sys.platform == "win32":  # no flock there: two processes must be kept apart by the user
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError(f"another process is writing to the trace {self.path}; give each run its own") from error

    def _read(self, roles: Mapping[str, str]) -> None:
        end = 0
        with open(self.path, "rb") as file:
            for event, offset, length in parse_lines(file, str(self.path)):
                if event["event"] == "reply":
                    self._places[event_address(event)] = (offset, length)
                elif event["event"] == "run":
                    self._check(event.get("roles", {}), roles)
                end = offset + length
        os.ftruncate(self._file, end)

    def _check(self, recorded: Mapping[str, Any], roles: Mapping[str, str]) -> None:
        for role, name in roles.items():
            if recorded.get(role, name) != name:
                raise ValueError(
                    f"the trace {self.path} was recorded with the {role} {recorded[role]!r}, this run has {name!r}; "
                    "resume with the same models or write to another file"
                )
