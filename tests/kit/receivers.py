# SPDX-License-Identifier: Apache-2.0
"""Receivers of alarms on loopback: an HTTP server and an SMTP server that keep what they are sent."""

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class HttpReceiver:
    """What a web server was sent; `answers` are given one by one, the last one for ever."""

    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(200, {})])
    requests: list[Request] = field(default_factory=list)
    has_come: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    received = HttpReceiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            received.requests.append(
                Request(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body)
            )
            received.has_come.set()
            answers = received.answers
            status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base names it
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.port = server.server_address[1]
        with _serving(server):
            yield received


@dataclass(kw_only=True)
class MailReceiver:
    """What a mail server (RFC 5321) was sent."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_receiver() -> Iterator[MailReceiver]:
    received = MailReceiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (part := self.rfile.readline()) not in {b".\r\n", b""}:
                        lines.append(part.removeprefix(b".") if part.startswith(b"..") else part)
                    received.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
                if verb == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                self.wfile.write(b"250 fine\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        received.port = server.server_address[1]
        with _serving(server):
            yield received


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
