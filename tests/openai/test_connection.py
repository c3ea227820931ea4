"""Retries, waiting, failover, limits and secrets, against a server that fails on demand. No test waits for real."""

from __future__ import annotations

import asyncio
import copy
import logging
import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from fake_openai import FAULTS, FakeServer, serving
from ttscale.core.errors import RoleError
from ttscale.openai import Connection
from ttscale.openai.failures import MAX_BACKOFF, MalformedReply, backoff
from ttscale.openai.reply import read_written

KEY = "sk-very-secret-0123456789"
BODY = {"model": "toy", "prompt": "q\n"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class Sleeps(list[float]):
    """Records how long it was asked to sleep, and does not."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def ask(url: Any, sleeps: Sleeps | None = None, body: Any = BODY, **settings: Any) -> Any:
    connection = Connection(url, **{"api_key": KEY, "sleep": Sleeps() if sleeps is None else sleeps, **settings})
    return asyncio.run(connection.post("/completions", body, lambda data: read_written(data, False), where="a test"))


def failing(*faults: str | None) -> Callable[[int, Any], str | None]:
    """The given faults in turn, then none."""
    return lambda n, body: faults[n] if n < len(faults) else None


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "slow"])
def test_every_fault_is_survived_with_the_same_reply(fault: str) -> None:
    with serving() as server:
        expected = ask(server.url)
    with serving(fault=failing(fault, fault)) as server:
        sleeps = Sleeps()
        assert ask(server.url, sleeps) == expected
    assert (len(server.requests), server.faulty) == (3, 2)
    assert sleeps == [backoff(0, 0), backoff(1, 0)]


def test_a_reply_that_drips_runs_out_of_time_as_a_whole() -> None:
    """Every byte arrives in time; the reply does not."""
    with serving() as server:
        expected = ask(server.url)
    with serving(fault=failing("slow")) as server:
        assert ask(server.url, timeout=1.0) == expected
        server.fault = lambda n, body: "slow"
        with pytest.raises(RoleError, match=r"timeout after 0\.3 s"):
            ask(server.url, timeout=0.3, retries=0)
    assert server.faulty == 2


def test_backoff_doubles_spreads_and_stays_below_the_maximum() -> None:
    waits = [backoff(round_, seed) for seed in range(50) for round_ in range(12)]
    assert all(0.25 <= backoff(0, seed) < 0.5 for seed in range(50))
    assert all(2.0 <= backoff(3, seed) < 4.0 for seed in range(50))
    assert max(waits) < MAX_BACKOFF
    assert len(set(waits)) > 590
    assert waits == [backoff(round_, seed) for seed in range(50) for round_ in range(12)]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7.0, 7.1),
        ("0.5", 0.5, 0.6),
        ("date", 7.0, 10.1),
        ("soon", 0.0, 0.5),
        ("-3", 0.0, 0.5),
        ("nan", 0.0, 0.5),
        ("Mon, 99 Foo 2020", 0.0, 0.5),
    ],
)
def test_retry_after_is_honoured(header: str, least: float, most: float) -> None:
    value = formatdate(time.time() + 10, usegmt=True) if header == "date" else header
    with serving(fault=failing("429"), retry_after=value) as server:
        sleeps = Sleeps()
        ask(server.url, sleeps)
    assert len(sleeps) == 1
    assert least <= sleeps[0] <= most


def test_a_retry_after_longer_than_we_wait_is_a_refusal() -> None:
    with serving(fault=lambda n, body: "429", retry_after="3600") as server:
        sleeps = Sleeps()
        with pytest.raises(RoleError, match=r"a test after 1 attempt at .*longer than max_wait=120 s"):
            ask(server.url, sleeps)
    assert (len(server.requests), sleeps) == (1, [])


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "413", "422", "501"])
def test_what_no_retry_can_help_fails_at_once(status: str) -> None:
    refused = pytest.raises(RoleError, match=rf"no reply for a test: status {status}: .*fault for")
    with serving(fault=lambda n, body: status) as server, refused:
        ask(server.url)
    assert len(server.requests) == 1


def test_an_exhausted_quota_is_not_asked_again() -> None:
    refused = pytest.raises(RoleError, match=r"status 429: .*insufficient_quota")
    with serving(fault=lambda n, body: "429", code="insufficient_quota") as server, refused:
        ask(server.url)
    assert len(server.requests) == 1


def test_giving_up_says_what_happened_and_what_to_do() -> None:
    with serving(fault=lambda n, body: "500") as server:
        sleeps = Sleeps()
        with pytest.raises(RoleError) as caught:
            ask(server.url, sleeps, retries=3)
    said = str(caught.value)
    assert f"no usable reply for a test after 4 attempts at http://127.0.0.1:{server.port}/v1" in said
    assert "status 500" in said
    assert "raise retries or timeout, lower concurrency, or add another base_url" in said
    assert (len(server.requests), len(sleeps)) == (4, 3)


def test_without_retries_the_first_failure_is_final() -> None:
    with serving(fault=failing("drop")) as server, pytest.raises(RoleError, match="after 1 attempt at"):
        ask(server.url, retries=0)


def test_a_dead_endpoint_hands_over_to_the_next_without_waiting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refuses connections
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with serving() as server:
            sleeps = Sleeps()
            expected = ask(server.url)
            assert ask([dead, server.url], sleeps) == expected
            assert ask([server.url, dead], sleeps) == expected
    assert sleeps == []


def test_one_endpoint_that_asks_to_wait_does_not_hold_up_the_other() -> None:
    with serving(fault=lambda n, body: "429", retry_after="60") as limited, serving(fault=failing("drop")) as other:
        sleeps = Sleeps()
        ask([limited.url, other.url], sleeps)
    # Round 1: both fail. Round 2: only the one that did not ask for a minute.
    assert (len(limited.requests), len(other.requests)) == (1, 2)
    assert sleeps == [backoff(0, 0)]


def test_load_goes_to_the_least_busy_endpoint() -> None:
    with serving(delay=0.02) as first, serving(delay=0.02) as second:

        async def many() -> None:
            connection = Connection([first.url, second.url], api_key=KEY)
            await asyncio.gather(
                *[connection.post("/completions", BODY, lambda data: data, where="a test") for _ in range(16)]
            )

        asyncio.run(many())
    assert (len(first.requests), len(second.requests)) == (8, 8)


def test_no_more_requests_are_under_way_than_allowed() -> None:
    full = threading.Event()

    def answer(path: str, body: Any) -> Any:
        if server.busiest >= 3:
            full.set()
        full.wait(10)  # the first ones wait for company
        return {"choices": []}

    with serving(answer=answer) as server:

        async def many() -> None:
            connection = Connection(server.url, api_key=KEY, concurrency=3)
            await asyncio.gather(
                *[connection.post("/completions", BODY, lambda data: data, where="a test") for _ in range(20)]
            )

        asyncio.run(many())
    assert server.busiest == 3


def test_requests_that_look_for_the_right_model_wait_for_no_place() -> None:
    """They hold all there are, and none would be free for the look."""

    async def many(url: str) -> list[Any]:
        connection = Connection(url, api_key=KEY, concurrency=2)
        asked = [connection.post("/completions", BODY, lambda data: data, where="a test") for _ in range(6)]
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)  # not for ever

    with serving(fault=lambda n, body: "404") as server:
        errors = asyncio.run(many(server.url))
    assert ["lists the models 'toy'" in str(error) for error in errors] == [True] * 6
    assert server.looks == 1


def test_who_asks_for_the_models_meanwhile_shares_the_look_and_its_failure() -> None:
    async def many(url: str) -> list[Any]:
        connection = Connection(url, api_key=KEY, retries=2, sleep=Sleeps())
        return await asyncio.gather(*[connection.models() for _ in range(5)], return_exceptions=True)

    with serving(listing=lambda n: "503") as server:
        errors = asyncio.run(many(server.url))
    assert ["status 503" in str(error) for error in errors] == [True] * 5
    assert server.looks == 3


def test_one_that_waits_for_a_retry_keeps_its_place() -> None:
    """So a server that answers 429 sees less traffic, not more."""
    with serving(fault=failing("429")) as server:
        seen: list[int] = []

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0.05)  # time in which another request could, wrongly, go out
            seen.append(len(server.requests))

        async def many() -> None:
            connection = Connection(server.url, api_key=KEY, concurrency=1, sleep=sleep)
            await asyncio.gather(
                *[connection.post("/completions", BODY, lambda data: data, where="a test") for _ in range(6)]
            )

        asyncio.run(many())
    assert seen == [1]
    assert len(server.requests) == 7


def test_a_server_that_restarts_is_waited_for() -> None:
    server = FakeServer(fault=failing()).start()
    try:
        expected = ask(server.url)
        server.stop()
        naps: list[float] = []

        async def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                server.start()

        assert ask(server.url, sleep) == expected  # type: ignore[arg-type]
    finally:
        server.stop()
    assert len(naps) == 3


def test_a_connection_serves_one_event_loop_after_another() -> None:
    with serving() as server:
        connection = Connection(server.url, api_key=KEY)

        async def once() -> Any:
            return await connection.post("/completions", BODY, lambda data: data["choices"], where="a test")

        assert asyncio.run(once()) == asyncio.run(once())


def test_what_read_rejects_is_asked_again() -> None:
    with serving() as server:
        rejected = iter([True, False])

        def read(data: Any) -> str:
            if next(rejected):
                raise MalformedReply("not this one")
            return "ok"

        async def once() -> str:
            connection = Connection(server.url, api_key=KEY, sleep=Sleeps())
            return await connection.post("/completions", BODY, read, where="a test")

        assert asyncio.run(once()) == "ok"
    assert len(server.requests) == 2


@pytest.mark.parametrize("odd", ["\ud800", float("nan"), object()])
def test_a_request_that_cannot_be_written_is_not_tried_again(odd: Any) -> None:
    """It is no fault of the server, and waiting for it would take minutes."""
    sleeps = Sleeps()
    with serving() as server, pytest.raises(RoleError, match="the request cannot be written"):
        ask(server.url, sleeps, {**BODY, "extra": odd})
    assert (server.requests, sleeps) == ([], [])


# Secrets.


@pytest.mark.parametrize("fault", ["401", "500", "html", "drop"])
def test_no_key_in_errors_logs_or_their_chain(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(fault=lambda n, body: fault) as server:
        secret = {"X-Gateway": "header-secret-9"}
        connection = Connection(server.url, api_key=KEY, headers=secret, retries=1, sleep=Sleeps())
        with pytest.raises(RoleError) as caught:
            asyncio.run(connection.post("/completions", BODY, lambda data: data["x"], where="a test"))
    error: BaseException | None = caught.value
    shown = [repr(connection), str(connection)]
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        assert not hasattr(error, "request")
        error = error.__cause__ or error.__context__
    assert server.requests[0][2]["x-gateway"] == "header-secret-9"
    assert any(record.name == "ttscale.openai" for record in caplog.records)
    for text in [*shown, caplog.text]:
        assert KEY not in text
        assert "header-secret-9" not in text


@pytest.mark.parametrize("status", ["301", "302", "307", "308"])
def test_a_redirect_is_not_followed_with_the_secrets_of_the_first_server(status: str) -> None:
    """HTTP clients drop ``Authorization`` when the host changes, and send every other header on: gateways' keys."""
    with (
        serving() as other,
        serving(fault=lambda n, body: status, elsewhere=f"{other.url}/completions") as server,
        pytest.raises(RoleError, match=rf"redirects to {other.url}/completions; give .* as base_url"),
    ):
        ask(server.url, headers={"X-Gateway": "header-secret-9"})
    assert (len(server.requests), other.requests) == (1, [])


@pytest.mark.parametrize("padding", range(420, 520, 7))
def test_no_piece_of_the_key_is_left_where_a_long_message_is_cut(padding: int) -> None:
    with serving(fault=lambda n, body: "401", padding=padding) as server, pytest.raises(RoleError) as caught:
        ask(server.url)
    assert KEY[:4] not in str(caught.value)


def test_what_makes_no_sense_names_the_request_and_not_the_key() -> None:
    odd = {"choices": [{"text": "a", "finish_reason": f"asked by {KEY}"}]}
    with serving(answer=lambda path, body: odd) as server, pytest.raises(RoleError) as caught:
        ask(server.url)
    assert len(server.requests) == 1
    assert "for a test: the server ended with finish_reason='asked by ***'" in str(caught.value)
    assert server.url in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": f"{KEY}\n{KEY}"},
        {"api_key": f"{KEY}\u00e9"},
        {"headers": {"X-Gateway": f"{KEY}\n"}},
        {"headers": {"X-Gateway": f"{KEY}\u2019"}},
    ],
)
def test_what_no_header_can_hold_is_refused_and_not_shown(settings: dict[str, Any]) -> None:
    """HTTP libraries name an illegal header by its value, spelled so that no search for the key finds it."""
    with pytest.raises(ValueError, match="must be one line of plain ASCII text") as caught:
        Connection("http://127.0.0.1:9/v1", **settings)
    assert KEY not in str(caught.value)


def test_white_space_around_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys come out of files, with the end of their line."""
    with serving() as server:
        ask(server.url, api_key=f" {KEY}\n")
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
        ask(server.url, api_key=None)
    assert [headers["authorization"] for _, _, headers in server.requests] == [f"Bearer {KEY}"] * 2


def test_a_key_inside_a_header_is_hidden_without_the_words_around_it() -> None:
    odd = {"choices": [{"text": "a", "finish_reason": f"no such key: {KEY}"}]}
    with serving(answer=lambda path, body: odd) as server, pytest.raises(RoleError) as caught:
        ask(server.url, api_key="another", headers={"Authorization": f"Bearer {KEY}"})
    assert "no such key: ***" in str(caught.value)


def test_the_key_is_sent_and_comes_from_the_parameter_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        ask(server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
        ask(server.url, api_key=None)
        monkeypatch.delenv("OPENAI_API_KEY")
        ask(server.url, api_key=None)
    sent = [headers["authorization"] for _, _, headers in server.requests]
    assert sent == [f"Bearer {KEY}", "Bearer sk-from-environment", "Bearer none"]


def test_without_any_key_the_public_service_is_refused_before_a_request() -> None:
    with pytest.raises(ValueError, match="set OPENAI_API_KEY"):
        Connection()


def test_a_connection_is_neither_copied_nor_pickled() -> None:
    with pytest.raises(TypeError, match="holds a key"):
        copy.copy(Connection("http://127.0.0.1:9/v1", api_key=KEY))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "127.0.0.1:8000"}, "must look like http://host:port/v1"),
        ({"base_url": []}, "empty list"),
        ({"base_url": "http://user:pass-word@h/v1"}, r"'http://h/v1' carries a password or a query"),
        ({"base_url": "http://h/v1?key=1"}, r"'http://h/v1' carries a password or a query"),
        ({"base_url": "http://h/v1", "concurrency": 0}, "concurrency must be a positive integer"),
        ({"base_url": "http://h/v1", "retries": -1}, "retries must be an integer of at least 0"),
        ({"base_url": "http://h/v1", "timeout": 0}, "timeout must be a positive number"),
        ({"base_url": "http://h/v1", "timeout": None}, "timeout must be a positive number of seconds; got None"),
        ({"base_url": "http://h/v1", "timeout": "5"}, "timeout must be a positive number of seconds; got '5'"),
        ({"base_url": "http://h/v1", "max_wait": float("nan")}, "max_wait must be a positive number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Connection(**settings)


# What a person is told.


def dead_url() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_a_refused_connection_is_said_at_once_and_each_retry_once(caplog: pytest.LogCaptureFixture) -> None:
    url, sleeps = dead_url(), Sleeps()
    connection = Connection(url, sleep=sleeps, retries=3)

    async def two() -> None:
        asked = [
            connection.post("/completions", BODY, lambda data: data, where="a test", seed=seed) for seed in range(2)
        ]
        await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(two())
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(" in ")[0] for text in said] == [
        f"connection refused at {url}, retry {n} of 3" for n in (1, 2, 3)
    ]
    assert said[0].endswith((" in 0.3 s", " in 0.4 s", " in 0.5 s"))


def test_giving_up_is_one_short_error_without_a_chain() -> None:
    with pytest.raises(RoleError, match="last: connection refused; is the server up") as caught:
        ask(dead_url(), retries=1)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_name_that_nobody_knows_is_said() -> None:
    with pytest.raises(RoleError, match="host name not found"):
        ask("http://no-such-host.invalid/v1", retries=0)


def test_the_first_attempt_waits_less_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that two seconds do not pass in silence where nobody answers at all."""
    waits = []

    async def send(self: Any, *arguments: Any) -> str:
        waits.append(arguments[-1])
        raise TimeoutError

    monkeypatch.setattr(Connection, "_send", send)
    with pytest.raises(RoleError):
        ask("http://127.0.0.1:1/v1", retries=2)
    assert waits == [1.5, 5.0, 5.0]


@pytest.mark.parametrize(
    ("status", "error", "key", "advice"),
    [
        (401, "Unauthorized", KEY, "does not take this key: pass the right one as api_key=..., or set OPENAI_API_KEY"),
        (403, "Forbidden", None, "no key was given: pass api_key=..., or set OPENAI_API_KEY"),
        (404, "The model `x` does not exist.", KEY, "the server lists the models 'toy'"),
        (
            400,
            "This model's maximum context length is 2048 tokens.",
            KEY,
            "lower max_new_tokens",
        ),
        (
            400,
            "the request exceeds the available context size",
            KEY,
            "prompt and reply together exceed what the model reads",
        ),
    ],
)
def test_a_refusal_says_what_to_do(status: int, error: str, key: str | None, advice: str) -> None:
    with serving(fault=lambda n, body: str(status), code=error) as server, pytest.raises(RoleError) as caught:
        ask(server.url, api_key=key)
    assert advice in str(caught.value)
    assert len(server.requests) == 1


def test_a_url_without_its_last_part_is_told_to_have_one() -> None:
    with serving() as server, pytest.raises(RoleError) as caught:
        ask(server.url.removesuffix("/v1"))
    assert f"a base_url ends in /v1 as a rule: try {server.url}" in str(caught.value)


@pytest.mark.parametrize("end", ["/v1/chat/completions", "/v1/completions", "/chat/completions", "/v1/models/"])
def test_a_url_of_an_endpoint_is_told_to_end_before_it(end: str) -> None:
    with serving() as server, pytest.raises(RoleError) as caught:
        ask(server.url.removesuffix("/v1") + "/elsewhere" + end)
    assert f"try {server.url.removesuffix('/v1')}/elsewhere/v1 (at" in str(caught.value)
