"""Keys, shares and caps; and that a key is seen nowhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fake_openai import serving
from integrations.gateways import before, gateway, lines_logged
from ttscale.integrations.gateway.app import create_app
from ttscale.integrations.gateway.doors import Doors
from ttscale.integrations.gateway.errors import ApiError
from ttscale.integrations.gateway.settings import Caps, Client, GatewaySettings, Upstream, read_settings, settings_of
from ttscale.integrations.gateway.upstream import KEPT, UpstreamRoles

QUESTION = "What is the digit?"
KEY = "sk-a-key-of-the-client"
HELD = "sk-the-key-of-the-operator"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def authorizations(upstream: Any) -> set[str]:
    return {headers.get("authorization", "") for _, _, headers in upstream.requests}


def test_the_clients_key_is_passed_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", HELD)  # the operator's own, which is nobody's but the operator's
    with serving() as upstream, gateway(before(upstream.url)) as served:
        served.chat(QUESTION, bearer(KEY))
        assert authorizations(upstream) == {f"Bearer {KEY}"}
        served.chat(QUESTION, {"X-ITS-API-Key": "other-key"})
        served.chat(QUESTION)
        assert authorizations(upstream) == {f"Bearer {KEY}", "Bearer other-key", "Bearer none"}


def test_a_key_that_is_held_is_used_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", HELD)
    with serving() as upstream:
        settings = before(upstream.url, upstream=Upstream(url=upstream.url, model="toy", key_env="UPSTREAM_KEY"))
        with gateway(settings) as served:
            assert served.chat(QUESTION, bearer(KEY))[0] == 200
        assert authorizations(upstream) == {f"Bearer {HELD}"}
        monkeypatch.delenv("UPSTREAM_KEY")
        with pytest.raises(ValueError, match="UPSTREAM_KEY should hold a key"):
            UpstreamRoles(settings)


@pytest.mark.parametrize("fault", ["401", "400", "500"])
def test_no_key_is_logged_or_sent_back(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """The stand-in repeats the key in its error."""
    with serving(fault=lambda n, body: fault) as upstream, lines_logged() as logged, caplog.at_level("DEBUG"):
        settings = before(upstream.url, upstream=Upstream(url=upstream.url, model="toy", retries=0))
        with gateway(settings) as served:
            status, reply = served.chat("a secret question", bearer(KEY))
            line = logged.get(timeout=10)
    assert status >= 400
    assert KEY not in json.dumps(reply) + json.dumps(line)
    assert "secret question" not in json.dumps(line)
    own = [record.getMessage() for record in caplog.records if record.name.startswith("ttscale")]
    assert own
    assert not any(KEY in text for text in own)


def test_a_key_that_no_header_can_hold() -> None:
    with serving() as upstream, gateway(before(upstream.url)) as served:
        status, reply = served.chat(QUESTION, bearer("k\xe9y"))
    assert (status, reply["error"]["code"]) == (401, "invalid_api_key")


def test_connections_of_many_keys_are_closed_again() -> None:
    with serving() as upstream, gateway(before(upstream.url)) as served:
        for i in range(KEPT + 20):
            assert served.chat(QUESTION, bearer(f"key-{i}"))[0] == 200
        roles = served.gateway.roles
        assert isinstance(roles, UpstreamRoles)
        assert len(roles._held) == KEPT


def clients(**one: Any) -> dict[str, Client]:
    return {"alice": Client(key_env="ALICE_KEY", **one), "bob": Client(key_env="BOB_KEY")}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALICE_KEY", "alice-key")
    monkeypatch.setenv("BOB_KEY", "bob-key")


@pytest.mark.usefixtures("keys")
def test_only_known_keys_come_in() -> None:
    with serving() as upstream, lines_logged() as logged:
        with gateway(before(upstream.url, clients=clients(budget=3))) as served:
            assert served.chat(QUESTION)[0] == 401
            assert served.get("/models")[0] == 401
            status, reply = served.chat(QUESTION, bearer("guess"))
            assert (status, reply["error"]["type"]) == (401, "authentication_error")
            _, reply = served.chat(QUESTION, bearer("alice-key"), budget=9)
            assert reply["choices"][0]["ttscale"]["budget"] == 3
            _, reply = served.chat(QUESTION, bearer("bob-key"), budget=9)
            assert reply["choices"][0]["ttscale"]["budget"] == 9
        # A key that opens this door is no key of the upstream's.
        assert authorizations(upstream) == {"Bearer none"}
        names = Counter(logged.get(timeout=10).get("client") for _ in range(4))
    assert names == {None: 2, "alice": 1, "bob": 1}


@pytest.mark.usefixtures("keys")
def test_requests_a_minute() -> None:
    now = [0.0]
    doors = Doors(GatewaySettings(clients=clients(requests_per_minute=6)), clock=lambda: now[0])

    def enter(key: str) -> int:
        try:
            with doors.enter({"authorization": f"Bearer {key}"}):
                return 200
        except ApiError as refusal:
            return refusal.status if int(refusal.headers["Retry-After"]) >= 1 else 0

    assert [enter("alice-key") for _ in range(8)] == [200] * 6 + [429] * 2
    assert enter("bob-key") == 200
    now[0] = 9.0
    assert enter("alice-key") == 429
    now[0] = 20.0
    assert [enter("alice-key") for _ in range(3)] == [200, 200, 429]
    now[0] = 10_000.0
    assert [enter("alice-key") for _ in range(7)] == [200] * 6 + [429]


@pytest.mark.usefixtures("keys")
def test_requests_at_once() -> None:
    doors = Doors(GatewaySettings(clients=clients(requests=1), caps=Caps(requests=2)))
    alice, bob = ({"authorization": f"Bearer {name}-key"} for name in ("alice", "bob"))
    with doors.enter(alice):
        with pytest.raises(ApiError) as full, doors.enter(alice):
            pass
        assert full.value.status == 429
        with doors.enter(bob):
            with pytest.raises(ApiError) as full, doors.enter(bob):
                pass
            assert full.value.status == 503
    with doors.enter(alice):
        assert doors.inside == 1
    assert doors.inside == 0


def test_a_body_that_is_too_long_or_too_slow() -> None:
    with serving() as upstream:
        caps = Caps(body_bytes=1000, body_seconds=0.2)
        with gateway(before(upstream.url, caps=caps)) as served:
            status, reply = served.chat("x" * 2000)
            assert (status, reply["error"]["code"]) == (413, "body_too_long")
            host, port = served.url.removeprefix("http://").removesuffix("/v1").split(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
                assert client.recv(1000).startswith(b"HTTP/1.1 408")
            with socket.create_connection((host, int(port))) as client:
                head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                client.sendall(head + b"800\r\n" + b"x" * 0x800 + b"\r\n0\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 413")
            assert served.chat("hi")[0] == 200
    assert len(upstream.requests) == 1


def test_a_search_that_takes_too_long_returns_what_it_has() -> None:
    with serving() as upstream:
        held = upstream.hold()
        with gateway(before(upstream.url, caps=Caps(seconds=0.2))) as served:
            status, reply = served.chat(QUESTION, budget=2)
            held.release()
            assert (status, reply["error"]["code"]) == (504, "timeout")


def test_a_cap_on_tokens_returns_what_it_has() -> None:
    with serving() as upstream, gateway(before(upstream.url, caps=Caps(tokens=20))) as served:
        status, reply = served.chat(QUESTION, budget=16)
    about = reply["choices"][0]["ttscale"]
    assert (status, about["stopped_by"]) == (200, "tokens")
    assert 0 < about["cost"]["sampled_tokens"] < 40


def test_its_hubs_endpoint_header_is_refused() -> None:
    with serving() as upstream, gateway(before(upstream.url)) as served:
        status, reply = served.chat(QUESTION, {"X-ITS-Endpoint": "http://169.254.169.254/"})
    assert (status, reply["error"]["param"]) == (400, "x-its-endpoint")
    assert not upstream.requests


def test_settings_of_a_file(tmp_path: Any) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(
        '[upstream]\nurl = "http://x/v1"\nmodel = "m"\n[defaults]\nbudget = 4\n[caps]\nseconds = 5\n'
        '[effort]\nhigh = 8\n[clients.alice]\nkey_env = "A"\nrequests_per_minute = 60\n'
    )
    settings = read_settings(path)
    assert settings.upstream == Upstream(url="http://x/v1", model="m")
    assert (settings.defaults.budget, settings.caps.seconds, settings.effort["high"]) == (4, 5, 8)
    assert settings.effort["low"] == 4
    assert settings.clients == {"alice": Client(key_env="A", requests_per_minute=60)}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"upstreams": {}}, "unknown section 'upstreams'"),
        ({"upstream": {"uri": "x"}}, "unknown setting upstream.uri"),
        ({"upstream": {"url": 3}}, "upstream.url must be of type str"),
        ({"caps": {"budget": True}}, "caps.budget must be of type int"),
        ({"caps": {"budget": 0}}, "caps.budget must be positive"),
        ({"caps": 3}, "caps must be a section"),
        ({"effort": {"low": "x"}}, "effort.low must be an integer"),
        ({"clients": {"a": {"requests": 0}}}, "clients.a.requests must be positive"),
        ({"defaults": {"strategy": "beem"}}, "unknown strategy 'beem'"),
        ({"generator": 3}, "generator must be a string"),
        ({"max_new_tokens": 5}, "give a generator too"),
        ({"generator": "m", "max_new_tokens": "5"}, "max_new_tokens must be an integer"),
        ({"generator": "m", "max_new_tokens": 0}, "max_new_tokens must be positive"),
        ({"verifier": {"id": "judge"}}, "asks the upstream's model"),
        ({"comparator": "judge"}, 'the comparator "judge" asks the upstream'),
        ({"comparator": 3}, "comparator must be a string"),
        ({"upstream": {"url": "http://x"}, "generator": "m"}, "not both"),
        ({"verifier": {"url": "http://x"}}, "verifier.url needs verifier.model"),
        ({"verifier": {"url": "http://x", "id": "y"}}, "not both"),
    ],
)
def test_settings_that_are_wrong(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings_of(data)


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        (Upstream(url="localhost:8001", model="m"), r"the upstream cannot be asked: base_url must look like http://"),
        (Upstream(url="http://x/v1?a=1", model="m"), "carries a password or a query"),
        (Upstream(url="http://x/v1", model="m", kind="vlm"), "unknown server 'vlm'"),
    ],
)
def test_an_upstream_that_cannot_be_is_said_when_the_gateway_starts(upstream: Upstream, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_app(GatewaySettings(upstream=upstream))


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def serve(port: int) -> subprocess.Popen[str]:
    flags = ["--port", str(port), "--upstream", "http://127.0.0.1:9/v1", "--model", "m"]
    return subprocess.Popen([sys.executable, "-m", "ttscale", "serve", *flags], stderr=subprocess.PIPE, text=True)


def test_where_it_serves_is_said_once_it_does(taken: int) -> None:
    with serve(0) as free, serve(taken) as none:
        said = next(line for line in iter(free.stderr.readline, "") if "serves on" in line)  # type: ignore[union-attr]
        port = int(said.rpartition(":")[2].removesuffix("/v1\n"))
        with socket.create_connection(("127.0.0.1", port), 30):
            free.terminate()
        _, error = none.communicate(timeout=120)
        free.communicate(timeout=120)
    assert "serves on" not in error
    assert "address already in use" in error
    assert none.returncode != 0


@pytest.mark.usefixtures("keys")
def test_clients_without_a_key_or_with_the_same() -> None:
    for wrong in ({"a": Client()}, {"a": Client(key_env="ALICE_KEY"), "b": Client(key_env="ALICE_KEY")}):
        with pytest.raises(ValueError, match="clients\\."):
            Doors(replace(GatewaySettings(), clients=wrong))
