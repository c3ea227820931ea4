"""The remote roles against a server in this process, held to the suites that third parties use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fake_openai import FakeServer, serving
from ttscale.openai import OpenAIGenerator, OpenAIReviser
from ttscale.prompts.layouts import PromptFormat
from ttscale.testing import GeneratorTests, ReviserTests

pytestmark = pytest.mark.filterwarnings("ignore:step search over a server")

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")


@pytest.fixture(params=["vllm", "llama.cpp"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(kind=request.param) as running:
        yield running


def settings(server: FakeServer) -> dict[str, Any]:
    return {"server": server.kind, "prompt": PLAIN, "delimiter": "\n"}


class TestRemoteGenerator(GeneratorTests):
    @pytest.fixture
    def generator(self, server: FakeServer) -> OpenAIGenerator:
        return OpenAIGenerator("toy", server.url, **settings(server))


class TestRemoteReviser(ReviserTests):
    @pytest.fixture
    def reviser(self, server: FakeServer) -> OpenAIReviser:
        return OpenAIReviser("toy", server.url, **settings(server))
