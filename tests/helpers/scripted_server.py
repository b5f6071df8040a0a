"""An HTTP server with OpenAI's protocol and scripted replies.

It runs on the loopback interface and produces faults that are too rare with real engines.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]
Body = dict[str, Any]


class ScriptedServer:
    """Serves `models`, and replies to each request for completions with `answer(body)`.

    `requests` collects the bodies of requests and `paths` their paths; `most_at_once` is the
    largest number of requests open at a time. `port` 0 chooses a free one.
    """

    def __init__(
        self, answer: Callable[[Body], Reply], models: tuple[str, ...] = ("m",), port: int = 0
    ) -> None:
        self.requests: list[Body] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.models: Reply = (200, {"object": "list", "data": [_model(name) for name in models]})
        self._open, self._lock = 0, threading.Lock()
        self._connections: list[socket.socket] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer._connections.append(self.connection)

            def do_GET(self) -> None:
                outer.headers.append(dict(self.headers))
                self._send(outer.models if self.path.endswith("/models") else (404, {}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(body)
                    outer.paths.append(self.path)
                    outer.headers.append(dict(self.headers))
                    outer._open += 1
                    outer.most_at_once = max(outer.most_at_once, outer._open)
                try:
                    self._send(answer(body))
                finally:
                    with outer._lock:
                        outer._open -= 1

            def _send(self, reply: Reply) -> None:
                status, body, *headers = reply
                if status == 0:  # hang up
                    self.close_connection = True
                    return
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in (headers[0] if headers else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with suppress(BrokenPipeError):
                    self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass  # a connection has ended

        self._server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:  # which would otherwise stay open
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _model(name: str) -> Body:
    return {"id": name, "object": "model", "created": 0, "owned_by": "test"}


def completion(
    *texts: str | None, reason: str = "stop", tokens: int = 0, raw: bool = False
) -> Body:
    """Return a response with one choice per text, to a chat or to a `raw` prompt."""
    return {
        "id": "x",
        "object": "text_completion" if raw else "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {"index": i, "finish_reason": reason}
            | ({"text": text} if raw else {"message": {"role": "assistant", "content": text}})
            for i, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens},
    }


def error(message: str, code: str | None = None) -> Body:
    return {"error": {"message": message, "type": "error", "code": code}}


def question(body: Body) -> str:
    """Return the question in a request, or its raw prompt."""
    return str(body["prompt"] if "prompt" in body else body["messages"][-1]["content"])
