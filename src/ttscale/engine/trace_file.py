"""A trace on disk while a run goes on: one line per event, by one writer at a time, read back by offset.

Only offsets are kept in memory. What survives a kill is the matter of ``core/record_file.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ttscale.core.idioms import Closing
from ttscale.core.record_file import RecordFile
from ttscale.core.requests import Reply, Request, Revise, Sample
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


class TraceFile(Closing):
    """An open trace. Use as a context manager."""

    def __init__(self, path: str | Path, roles: Mapping[str, str]) -> None:
        """Open or create ``path``; ``roles`` are the names of the models of this run.

        Raises ``ValueError`` when the file is no trace or was recorded with other models, ``RuntimeError`` when another
        process is writing to it.
        """
        self.path = Path(path)
        self._places: dict[Address, tuple[int, int]] = {}
        self._file = RecordFile(self.path, alone=True)
        try:
            self._read(roles)
        except BaseException:
            self._file.close()
            raise
        self.write({"event": "run", "schema": SCHEMA, "roles": dict(roles)})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, event: Event) -> None:
        """Append one event."""
        self._file.append(dump(event).encode())

    def record(self, request: Request, reply: Reply) -> None:
        """Append a reply."""
        self.write(reply_event(request, reply))

    def recall(self, request: Request) -> Reply | None:
        """The recorded reply to a request, if there is one; in a race the draw that lost it, else the whole one."""
        place = self._places.get(address(request)) if self._places else None
        if place is None and isinstance(request, Sample | Revise) and request.race is not None:
            return self.recall(replace(request, race=None))
        if place is None:
            return None
        offset, length = place
        try:
            return read_reply(json.loads(self._file.read(offset, length)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}, byte {offset}: not a reply that this version of ttscale reads; repair or remove the file"
            ) from error

    def _read(self, roles: Mapping[str, str]) -> None:
        end = 0
        with open(self.path, "rb") as file:
            for event, offset, length in parse_lines(file, str(self.path)):
                if event["event"] == "reply":
                    self._places[event_address(event)] = (offset, length)
                elif event["event"] == "run":
                    self._check(event.get("roles", {}), roles)
                end = offset + length
        self._file.cut(end)

    def _check(self, recorded: Mapping[str, Any], roles: Mapping[str, str]) -> None:
        for role, name in roles.items():
            if recorded.get(role, name) != name:
                raise ValueError(
                    f"the trace {self.path} was recorded with the {role} {recorded[role]!r}, this run has {name!r}; "
                    "resume with the same models or write to another file"
                )
