"""The key and the header values of a connection: checked before they are sent, and kept out of all that people read.

It knows text only; nothing of HTTP, clients or servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

WORTH_HIDING = 8
"""Characters from which a word of a header value is a secret of its own, as the key in "Bearer sk-..."."""


class Secrets:
    """What may not be seen of one connection. ``ValueError``, without the value, for what no header can hold."""

    def __init__(self, key: str, headers: Mapping[str, str]) -> None:
        for name, value in (("api_key", key), *((f"the header {name!r}", value) for name, value in headers.items())):
            if not isinstance(value, str) or not value.isascii() or not value.isprintable():
                # HTTP libraries would say so too, and show the value.
                raise ValueError(f"{name} must be one line of plain ASCII text; its value is not shown here")
        words = {word for value in headers.values() for word in value.split() if len(word) >= WORTH_HIDING}
        self._texts = sorted({key, *headers.values(), *words} - {""}, key=len, reverse=True)

    def __repr__(self) -> str:
        return "Secrets(***)"

    def scrub(self, text: str, most: int) -> str:
        """``text`` without any of them, and then not longer than ``most`` characters."""
        for secret in self._texts:  # before the cut, which would leave a piece of one
            text = text.replace(secret, "***")
        return text if len(text) <= most else text[:most] + " ..."


def shown(url: str) -> str:
    """A URL fit to be printed: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
