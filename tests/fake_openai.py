"""A small OpenAI-compatible server for tests: a toy language model, the ways real servers differ, and faults on demand.

The toy model writes ``step <k> <digit>`` lines and ends with an answer. Each line is a hash of the text before it and
the seed (at temperature 0 of the text alone), so a request has one right reply, whatever failed before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

FAULTS = ("drop", "cut", "truncated", "none", "two", "html", "429", "500", "503", "slow")
Fault = str
DIGITS = 3


def toy_line(text: str, seed: int) -> str | None:
    """The next line of a solution that reads ``text`` so far, None at its end."""
    number = int.from_bytes(hashlib.blake2b(f"{seed}/{text}".encode(), digest_size=4).digest(), "big")
    written = text.count("step ")
    if "Answer" in text:
        return None
    if written >= 2 and (number >> 8) % 3 == 0:
        return f"Answer: {number % DIGITS}"
    return f"step {written + 1} {number % 10}\n"


class Hold:
    """Replies that are kept back: ``arrived`` is set once a request waits for its own."""

    def __init__(self) -> None:
        self.arrived, self._go = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.arrived.set()
        self._go.wait(60)

    def release(self) -> None:
        self._go.set()


@dataclass
class FakeServer:
    """Counts and answers requests. ``fault`` says for the n-th one (from 0) what goes wrong, or None."""

    kind: Literal["vllm", "sglang", "transformers", "llama.cpp", "openai"] = "vllm"
    fault: Callable[[int, dict[str, Any]], Fault | None] = lambda n, body: None
    listing: Callable[[int], str | None] = lambda n: None
    """The status with which the n-th look at its models (from 0) fails, "html" for a web page, or None."""
    looks: int = 0
    """Looks at its models so far."""
    delimiter: str = "\n"
    trims: bool = False
    """Whether its chat template drops white space at the end of a partial message."""
    write: Callable[[str, int], str | None] = toy_line
    answer: Callable[[str, dict[str, Any]], Any] | None = None
    """Replaces the toy model altogether: from path and body to the JSON of the reply."""
    retry_after: str | None = None
    says: str = ""
    """The words of an error; by default the key comes back in them."""
    code: str | None = None
    """The error code that goes with a status."""
    elsewhere: str = ""
    """Where a redirect points."""
    padding: int = 0
    """Characters before the key that an error message repeats."""
    usage: bool = True
    ids: bool = False
    """Whether it takes and returns token ids, as vLLM and llama.cpp do (``tokens_of``)."""
    wide: bool = False
    """Whether its model draws two newlines as one token where it can, as its tokenizer does."""
    opens: str = ""
    """What its chat template writes at the beginning of the assistant's turn."""
    template: bool = True
    """Whether it has a chat template."""
    context: int | None = None
    requests: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    helped: list[dict[str, Any]] = field(default_factory=list)
    """What it was asked beside completions: to lay out a prompt, or for tokens."""
    faulty: int = 0
    busiest: int = 0
    delay: float = 0.0
    endless: Callable[[int], bool] = lambda seed: False
    """Of which seeds draws go on until their stream is closed; those not streamed go on for 3,000 tokens."""
    closed: int = 0
    """Streams that were closed before they ended."""
    held: Hold | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = 0
        self.quiet = threading.Event()
        """Set while no request is being answered."""
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body, _ in self.requests]

    def start(self) -> FakeServer:
        """Listen, on the same port as before if there was one."""
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def hold(self) -> Hold:
        """Keep every reply back until it is released."""
        self.held = Hold()
        return self.held

    @contextmanager
    def busy(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
            self.quiet.clear()
            self.busiest = max(self.busiest, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    self.quiet.set()

    def count(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> int:
        with self._lock:
            self.requests.append((path, body, headers))
            return len(self.requests) - 1

    def reply(self, path: str, body: dict[str, Any]) -> Any:
        if self.answer is not None:
            return self.answer(path, body)
        if path == "/completion":
            return self.native(body)
        chat = "chat" in path
        prompt: Any = body.get("prompt")
        text = self.document(body) if chat else prompt if isinstance(prompt, str) else text_of(prompt)
        n, choices, words = body.get("n", 1), [], 0
        for index in range(n):
            choice, count = self.choice(body, chat, text, index)
            choices.append(choice)
            words += count
        choices.reverse()  # their order means nothing
        data = {"id": "x", "object": "reply", "model": body["model"], "choices": choices}
        if self.usage:
            details = {"prompt_tokens_details": {"cached_tokens": 2}} if self.kind == "vllm" else {}
            context = len(text.split()) if isinstance(prompt, str) or chat else len(prompt)
            data["usage"] = {"prompt_tokens": context, "completion_tokens": words, **details}
        return data

    def choice(self, body: dict[str, Any], chat: bool, text: str, index: int) -> tuple[dict[str, Any], int]:
        """One choice, and the tokens drawn for it."""
        drawn, finish, matched = self.draw(body, text, index)
        new = drawn[: drawn.index(matched)] if matched and self.kind != "transformers" else drawn
        choice: dict[str, Any] = {"index": index, "finish_reason": finish}
        words = len(new.split()) + 1
        if body.get("return_token_ids") and self.ids:
            ids = self.drawn_ids(drawn, finish, matched)
            choice["token_ids"], words = ids, len(ids)
            new = drawn[: drawn.index(matched) + len(matched)] if matched else drawn
        choice |= {"message": {"role": "assistant", "content": new}} if chat else {"text": new}
        if self.kind == "vllm":
            choice["stop_reason"] = matched
        elif self.kind == "sglang":
            choice["matched_stop"] = matched or 151645
        if body.get("logprobs"):
            top = body.get("top_logprobs", 0) if chat else int(body["logprobs"])
            spelled = [text_of([i]) for i in choice["token_ids"]] if "token_ids" in choice else None
            said = drawn + "<end>" * (finish == "stop" and not matched)
            choice["logprobs"] = self.logprobs(said, chat, top, spelled)
        return choice, words

    def draw(self, body: dict[str, Any], text: str, index: int) -> tuple[str, str, str | None]:
        """New text, finish_reason and the stop string that was hit, for the draw with the seed ``index`` further."""
        seed = 0 if body.get("temperature") == 0 else body.get("seed", 0) + index
        limit = body.get("max_tokens", body.get("max_completion_tokens", body.get("n_predict")))
        if self.endless(seed):
            return "on " * min(limit or 3000, 3000), "length", None
        drawn, finish, matched = self.sample(text, seed, body.get("stop") or [], limit)
        if limit is not None and isinstance(body.get("prompt"), list):  # there a token is a character, not a word
            ids = self.drawn_ids(drawn, finish, matched)
            if len(ids) > limit:
                return text_of(ids[:limit]), "length", None
        return drawn, finish, matched

    def drawn_ids(self, drawn: str, finish: str, matched: str | None) -> list[int]:
        """The tokens of a draw, the end of sequence among them; those of a stop string whole."""
        ids = tokens_of(drawn, self.wide)
        if matched is None:
            return ids + [EOS] * (finish == "stop")
        ends = [n for n in range(len(ids) + 1) if matched in text_of(ids[:n])]
        return ids[: ends[0]]

    def native(self, body: dict[str, Any]) -> Any:
        """llama.cpp's own endpoint."""
        results = []
        for index in range(body.get("n", 1)):
            drawn, finish, matched = self.draw(body, text_of(body["prompt"]), index)
            ids = self.drawn_ids(drawn, finish, matched)
            result = {
                "index": index,
                "content": drawn[: drawn.index(matched)] if matched else drawn,
                "tokens": ids,
                "stop_type": "limit" if finish == "length" else "word" if matched else "eos",
                "stopping_word": matched or "",
                "tokens_predicted": len(ids),
                "tokens_evaluated": len(body["prompt"]),
                "timings": {"cache_n": 2},
            }
            if body.get("n_probs"):
                shown = [text_of([i]) for i in ids if i != EOS] + [""] * (EOS in ids)
                result["completion_probabilities"] = [
                    {
                        "token": one,
                        "logprob": -0.5,
                        "top_logprobs": [{"token": str(i), "logprob": p} for i, p in enumerate(likeliest(one))],
                    }
                    for one in shown
                ]
            results.append(result)
        return results if len(results) > 1 else results[0]

    def helper(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and reply of what stands beside completions: layouts and tokens."""
        if not self.ids:
            return 404, {"detail": "Not Found"}
        self.helped.append(body)
        if path == "/detokenize":
            return 200, {"prompt" if self.kind == "vllm" else "content": text_of(body["tokens"])}
        if "messages" in body and not self.template:
            return 400, {"error": {"message": "no chat template"}}
        text = self.document(body) + self.opens if "messages" in body else body.get("prompt", body.get("content"))
        if path == "/apply-template":
            return 200, {"prompt": text}
        return 200, {"tokens": tokens_of(text, wide=True)}

    def document(self, body: dict[str, Any]) -> str:
        """The chat laid out as text; a partial message of the assistant is continued where the server can."""
        *turns, last = body["messages"]
        text = "".join(f"<{turn['role']}>{turn['content']}</>" for turn in turns)
        goes_on = body.get("continue_final_message") or self.kind == "llama.cpp"
        if last["role"] == "assistant" and goes_on:
            return f"{text}<assistant>{last['content'].rstrip() if self.trims else last['content']}"
        return f"{text}<{last['role']}>{last['content']}</><assistant>"

    def sample(self, text: str, seed: int, stops: list[str], limit: int | None) -> tuple[str, str, str | None]:
        """New text, finish_reason and the stop string that was hit."""
        new = ""
        while limit is None or len(new.split()) < limit:
            solution = (text + new).rpartition("<assistant>")[2]
            if self.trims and not new and solution and not solution.endswith(self.delimiter):
                line: str | None = self.delimiter
            else:
                line = self.write(solution, seed)
            if line is None:
                return new, "stop", None
            new += line
            hit = next((stop for stop in stops if stop in new), None)
            if hit is not None:
                return new, "stop", hit
        return new, "length", None

    @staticmethod
    def logprobs(new: str, chat: bool, top: int = 0, spelled: list[str] | None = None) -> Any:
        words = spelled or [word for line in new.splitlines(keepends=True) for word in _words(line)]
        tables = [{str(i): p for i, p in enumerate(likeliest(word)[:top])} for word in words]
        if chat:
            listed = [[{"token": one, "logprob": p} for one, p in table.items()] for table in tables]
            return {
                "content": [
                    {"token": word, "logprob": -len(word) / 8, "top_logprobs": some}
                    for word, some in zip(words, listed, strict=True)
                ]
            }
        more = {"top_logprobs": tables} if top > 1 else {}
        return {"tokens": words, "token_logprobs": [-len(word) / 8 for word in words], **more}

    def pieces(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a streamed reply, a token each, as this kind of server sends them."""
        data = self.reply(path, body)
        if path == "/completion":
            told = data.pop("completion_probabilities", None)
            ids = [data.pop("tokens"), data.pop("content")][0]
            for i, one in enumerate(ids):
                extra = {"completion_probabilities": told[i : i + 1]} if told else {}
                yield {"content": text_of([one] if one != EOS else []), "tokens": [one], "stop": False, **extra}
            yield {**data, "content": "", "tokens": [], "stop": True}
            return
        (choice,) = data.pop("choices")
        usage = data.pop("usage", None)
        logprobs, ids = choice.pop("logprobs", None), choice.pop("token_ids", None)
        text = choice.pop("message")["content"] if "chat" in path else choice.pop("text")
        words = re.findall(r"\S*\s*", text)[:-1] if ids is None else [text_of([i] if i != EOS else []) for i in ids]
        for i, word in enumerate(words):
            part = {"delta": {"content": word}} if "chat" in path else {"text": word}
            part |= {} if ids is None else {"token_ids": ids[i : i + 1]}
            if logprobs:
                rest = i + 1 == len(words)
                part["logprobs"] = {k: v[i:] if rest else v[i : i + 1] for k, v in logprobs.items()}
            yield {**data, "choices": [{"index": 0, "finish_reason": None, **part}]}
        empty: dict[str, Any] = {"delta": {}} if "chat" in path else {"text": ""}
        yield {**data, "choices": [{**choice, **empty}]}
        if usage:
            yield {**data, "choices": [], "usage": usage}


def likeliest(token: str) -> list[float]:
    """The log-probabilities of the 20 likeliest tokens where this one was drawn: a hash says how sure the model is."""
    sure = 1 + int.from_bytes(hashlib.blake2b(token.encode(), digest_size=2).digest(), "big") % 50
    return [-0.01 * (i + 1) * sure for i in range(20)]


def _words(line: str) -> list[str]:
    """Pieces that spell the line: each ends in a space but the last; the end of the solution is one of its own."""
    parts = line.removesuffix("<end>").split(" ")
    return [*[part + " " for part in parts[:-1]], parts[-1], *["<end>"] * line.endswith("<end>")]


EOS, TWO_NEWLINES = 2, 3


def tokens_of(text: Any, wide: bool) -> list[int]:
    """A token a character, from 10 on; two newlines are one token where the text is read (``wide``)."""
    parts = text.split("\n\n") if wide else [text]
    ids = [[ord(letter) + 10 for letter in part] for part in parts]
    return [one for i, part in enumerate(ids) for one in ([TWO_NEWLINES] * (i > 0) + part)]


def text_of(ids: Any) -> str:
    """What tokens say."""
    return "".join("<eos>" if i == EOS else "\n\n" if i == TWO_NEWLINES else chr(i - 10) for i in ids)


class _Server(ThreadingHTTPServer):
    block_on_close = False
    request_queue_size = 1024  # connections that wait to be accepted; beyond that the kernel drops some


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per reply; two would wait for each other's acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        owners = {"vllm": "vllm", "sglang": "sglang", "llama.cpp": "llamacpp", "openai": "system"}
        if self.path == "/props" and self.fake.ids:
            self._send(200, {"total_slots": 4})
        elif not self.path.startswith("/v1/"):
            self._send(404, {"detail": "Not Found"})
        elif (status := self.fake.listing(self.fake.looks)) is not None:
            self.fake.looks += 1
            if status == "html":
                self._send_bytes(200, b"<html>Welcome</html>", kind="text/html")
                return
            self._send(int(status), {"error": {"message": f"no list for {self.headers.get('authorization')}"}})
        else:
            self.fake.looks += 1
            model: dict[str, Any] = {"id": "toy", "owned_by": owners.get(self.fake.kind, "someone")}
            if self.fake.context:
                model |= {"max_model_len": self.fake.context}
            self._send(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        if self.path in ("/tokenize", "/detokenize", "/apply-template"):
            self._send(*self.fake.helper(self.path, body))
            return
        if not self.path.startswith("/v1/") and self.path not in ("/completion", "/pooling", "/classify"):
            self._send(404, {"detail": "Not Found"})
            return
        number = self.fake.count(self.path, body, {k.lower(): v for k, v in self.headers.items()})
        with self.fake.busy():
            fault = self.fake.fault(number, body)
            if fault is not None:
                self.fake.faulty += 1
                self._fail(fault, body)
                return
            if self.fake.held is not None:
                self.fake.held.wait()
            if self.fake.delay:
                time.sleep(self.fake.delay)
            if body.get("stream"):
                self._stream(body)
            else:
                self._send(200, self.fake.reply(self.path, body))

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # the other side has closed
            super().finish()

    def _stream(self, body: dict[str, Any]) -> None:
        """Events until the end; of an endless draw until the other side closes."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            events = list(self.fake.pieces(self.path, body))
            while self.fake.endless(body.get("seed", 0)):
                for event in events[:9]:
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                    self.wfile.flush()
                time.sleep(0.002)  # as a model would take; else the test's own thread gets no turn
            for line in [*map(json.dumps, events), "[DONE]"]:
                self.wfile.write(f"data: {line}\n\n".encode())
                self.wfile.flush()
        except OSError:
            self.fake.closed += 1

    def _fail(self, fault: Fault, body: dict[str, Any]) -> None:
        if fault == "drop":
            self.close_connection = True
            return
        if fault.startswith("30"):
            self.send_response(int(fault))
            self.send_header("Location", self.fake.elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault.isdigit():
            said = self.fake.says or "x" * self.fake.padding + f"fault for {self.headers.get('authorization')}"
            self._send(int(fault), {"error": {"message": said, "code": self.fake.code}})
            return
        if body.get("stream") and fault in ("cut", "error"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            first = next(self.fake.pieces(self.path, body))
            last = {"error": {"message": "out of memory"}} if fault == "error" else first
            self.wfile.write("".join(f"data: {json.dumps(one)}\n\n" for one in (first, last)).encode())
            return
        data = self.fake.reply(self.path, body)
        text = json.dumps(data).encode()
        if fault == "slow":  # headers at once, then a byte now and then
            self._head(200, len(text))
            try:
                for i in range(100):
                    self.wfile.write(text[i : i + 1])
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass
            self.close_connection = True
        elif fault == "cut":
            self._head(200, len(text))
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
        elif fault == "truncated":
            self._send_bytes(200, text[: len(text) // 2])
        elif fault == "html":
            self._send_bytes(200, b"<html>gateway</html>", kind="text/html")
        else:
            name = "choices" if "choices" in data else "data"
            data[name] = [] if fault == "none" else data[name] * 2
            self._send(200, data)

    def _send(self, status: int, data: Any) -> None:
        self._send_bytes(status, json.dumps(data).encode())

    def _send_bytes(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self._head(status, len(content), kind)
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def _head(self, status: int, length: int, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        if self.fake.retry_after is not None and status in (429, 503):
            self.send_header("Retry-After", self.fake.retry_after)
        self.end_headers()


@contextmanager
def serving(**settings: Any) -> Iterator[FakeServer]:
    """A running server; ends with the block."""
    server = FakeServer(**settings).start()
    try:
        yield server
    finally:
        server.stop()
