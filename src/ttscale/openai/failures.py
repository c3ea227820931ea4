"""What went wrong with a request, whether another try can help, and what to do about it: pure functions of the failure.

It knows HTTP statuses, exceptions and waiting times; nothing of endpoints, keys or bodies.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

import openai

from ttscale.core.errors import RoleError

BACKOFF = 0.5
"""Seconds before the first retry; doubled each time. The official client starts there too."""
MAX_BACKOFF = 30.0
"""Longest wait that no server asked for. A server that restarts with a large model needs about a minute."""
HOPELESS_STATUS = frozenset({501, 505})
TRANSIENT_STATUS = frozenset({408, 409, 425, 429})

TOO_LONG = "; prompt and reply together exceed what the model reads: lower max_new_tokens, or shorten the prompt"


class MalformedReply(Exception):
    """A reply that arrived and is not what was asked for: cut short, wrong number of choices. Worth another try."""


class Refused(RoleError):
    """The server answered, and the answer was an error."""

    def __init__(self, message: str, status: int | None = None, said: str = "") -> None:
        super().__init__(message)
        self.status, self.said = status, said
        """Its HTTP status, where it had one, and what it said."""


class Rejected(Refused):
    """And it would be the same the next time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt that may be repeated: did a reply arrive, and how many seconds did it ask to wait?"""

    what: str
    answered: bool = False
    wait: float | None = None
    status: int | None = None
    advice: str = ""
    """What to do about it, which goes behind ``what``."""


@dataclass(frozen=True, slots=True)
class Hopeless(Failure):
    """One that would be the same the next time."""


def judge_status(error: openai.APIStatusError, keyed: bool) -> Failure:
    """What to make of an HTTP error; ``keyed``: whether a key was given."""
    status, what, advice = error.status_code, f"status {error.status_code}: {_said(error)}", ""
    if 300 <= status < 400:
        where = error.response.headers.get("location", "somewhere else")
        what = f"status {status}: the server redirects to {where}; give the URL that serves the model as base_url"
    if status in (401, 403):
        advice = (
            "; the server does not take this key: pass the right one as api_key=..., or set OPENAI_API_KEY"
            if keyed
            else "; no key was given: pass api_key=..., or set OPENAI_API_KEY"
        )
    if status in (400, 413) and says_too_long(_said(error)):
        advice = TOO_LONG
    hopeless = status not in TRANSIENT_STATUS and (status < 500 or status in HOPELESS_STATUS)
    if hopeless or (status == 429 and error.code in ("insufficient_quota", "billing_hard_limit_reached")):
        return Hopeless(what, answered=True, status=status, advice=advice)
    return Failure(what, True, retry_after(error.response.headers), status)


def says_too_long(said: str) -> bool:
    """Whether a server's words are about its context length (vLLM, SGLang, OpenAI, llama.cpp say it in these)."""
    words = said.lower()
    return "context" in words and any(mark in words for mark in ("length", "size", "exceed", "too long"))


def why(error: BaseException) -> str:
    """Why a connection failed, in the words people search for."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, socket.gaierror):
            return "host name not found"
        if isinstance(cause, ssl.SSLError):
            return f"no secure connection ({cause.reason or cause})"
        if isinstance(cause, ConnectionResetError) or "disconnected" in str(cause):
            return "connection lost"
    return f"connection failed ({error.__cause__ or error})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and everything that led to it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__context__, one.__cause__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def backoff(round_: int, seed: int) -> float:
    """Seconds to wait after round ``round_``: exponential, times a factor in [0.5, 1) that differs from key to key.

    The factor is a hash, not a random number: nothing here touches global random state.
    """
    spread = hashlib.blake2b(f"{seed}/{round_}".encode(), digest_size=4).digest()
    return float(min(MAX_BACKOFF, BACKOFF * 2.0**round_) * (0.5 + int.from_bytes(spread, "big") / 2**33))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers ask to wait; None where they do not say, or say nonsense."""
    try:
        if headers.get("retry-after-ms"):
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            value = headers.get("retry-after", "")
            seconds = float(value) if not value[:1].isalpha() else parsedate_to_datetime(value).timestamp() - time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if seconds == seconds else None


def _said(error: openai.APIStatusError) -> str:
    """The server's own words, one line."""
    try:
        text = error.response.text
    except Exception:  # a body that cannot be decoded; the status says enough
        text = ""
    return " ".join(text.split()) or "(no body)"
