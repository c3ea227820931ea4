"""``ttscale serve``: flags and a configuration file become the settings of the gateway, and uvicorn runs it."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from typing import Any

from ttscale.integrations.gateway.settings import Caps, GatewaySettings, Upstream, VerifierSettings, read_settings

HOST, PORT = "127.0.0.1", 8000
SHUTDOWN = 30
"""Seconds that requests in progress get to end once the server was told to stop."""

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open, as with nginx: longer than clients keep theirs, who then close first."""


def add_parser(commands: Any) -> None:
    """Add ``serve`` to the commands."""
    parser = commands.add_parser(
        "serve",
        help="an OpenAI-compatible gateway: better answers for a budget",
        description="An OpenAI-compatible server that searches for better answers, in front of another such server, of "
        "a local model, or (without flags) of the bundled models. Clients set the budget and the strategy by request.",
        epilog="example: ttscale serve --upstream http://localhost:8001/v1 --verifier judge --budget 8",
    )
    parser.add_argument("--host", default=HOST, help=f"address to listen on (default: {HOST})")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on (default: {PORT}; 0: any free one)")
    parser.add_argument("--upstream", metavar="URL", help="base URL of the server that draws, ending in /v1")
    parser.add_argument("--model", metavar="NAME", help="the upstream's model (default: whatever the client names)")
    parser.add_argument("--upstream-key-env", metavar="NAME", help="environment variable with the upstream's key")
    parser.add_argument("--server", metavar="KIND", help="what the upstream is, such as vllm (default: look)")
    parser.add_argument("--system", metavar="TEXT", help='system prompt for chats without one; "family": the model\'s')
    parser.add_argument("--generator", metavar="ID", help="Hugging Face id or local path of a model to run here")
    parser.add_argument("--max-new-tokens", type=int, metavar="T", help="most tokens of one draw of --generator")
    parser.add_argument("--verifier", metavar="ID", help='Hugging Face id or local path, or "judge": ask the upstream')
    parser.add_argument("--comparator", metavar="ID", help='the same for what compares solutions, or "judge"')
    parser.add_argument("--strategy", metavar="NAME", help="default strategy")
    parser.add_argument("--budget", type=int, metavar="N", help="default budget (default: 1)")
    parser.add_argument("--max-budget", type=int, metavar="N", help=f"cap on budgets (default: {Caps().budget})")
    parser.add_argument("--config", metavar="FILE", help="TOML file with all settings; flags go before it")
    parser.set_defaults(run=run)


def settings_from(options: argparse.Namespace) -> GatewaySettings:
    """The settings of a command line: the file's, with what the flags say in their place."""
    settings = read_settings(options.config) if options.config else GatewaySettings()
    upstream = settings.upstream
    given = {
        "url": options.upstream,
        "model": options.model,
        "key_env": options.upstream_key_env,
        "kind": options.server,
        "system": options.system,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        upstream = replace(upstream or Upstream(), **given)
        if not upstream.url:
            raise ValueError(f"--{'/--'.join(given)} needs --upstream URL")
    defaults = {name: getattr(options, name) for name in ("budget", "strategy") if getattr(options, name) is not None}
    caps = settings.caps if options.max_budget is None else replace(settings.caps, budget=options.max_budget)
    verifier = settings.verifier if options.verifier is None else VerifierSettings(id=options.verifier)
    return replace(
        settings,
        upstream=upstream,
        generator=options.generator or settings.generator,
        max_new_tokens=settings.max_new_tokens if options.max_new_tokens is None else options.max_new_tokens,
        verifier=verifier,
        comparator=options.comparator or settings.comparator,
        defaults=replace(settings.defaults, **defaults),
        caps=caps,
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes; requests in progress are ended first."""
    settings = settings_from(options)
    try:
        import uvicorn

        from ttscale.integrations.gateway.app import create_app
    except ModuleNotFoundError as error:
        if error.name not in ("uvicorn", "starlette", "openai"):
            raise
        raise ImportError(f"ttscale serve needs {error.name}: pip install 'ttscale[serve]'") from error
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for name in ("httpx", "httpx2", "ttscale.openai"):
        logging.getLogger(name).setLevel(logging.WARNING)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        options.host,
        options.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        ws="none",
        lifespan="on",
    )

    class Server(uvicorn.Server):
        """One that says where it listens, once it does."""

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            host = f"[{options.host}]" if ":" in options.host else options.host
            print(f"ttscale serves on http://{host}:{port}/v1", file=sys.stderr, flush=True)

    Server(config).run()
    return 0
