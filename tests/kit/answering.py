# SPDX-License-Identifier: Apache-2.0
"""A vendor on a real socket: keeps what it is sent, and answers what a test has it answer."""

import socket
import threading
from collections.abc import Mapping
from typing import Self

from kit.waiting import eventually

_COPIED = ("via", "from", "call-id", "cseq")


class AnsweringVendor:
    """A UDP socket with a thread.

    Shape: `answers` says with which status each method is answered; one that is not in it gets silence.
    """

    def __init__(self, host: str = "127.0.0.3", answers: Mapping[str, int] | None = None) -> None:
        self.answers = dict(answers or {})
        self.requests: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(0.2)
        self.host, self.port = self._socket.getsockname()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="vendor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(5)
        self._socket.close()

    @property
    def address(self) -> str:
        """As a routing gateway has it."""
        return f"{self.host}:{self.port}"

    def got(self, method: str, *, within_s: float = 20.0) -> dict[str, str]:
        """Headers of the last request of this method, by name in lower case, once there is one."""
        found = eventually(
            lambda: [text for text in self.requests if text.startswith(f"{method} ")], within_s=within_s
        )
        return headers_of(found[-1])

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                message, source = self._socket.recvfrom(65_535)
            except TimeoutError:
                continue
            text = message.decode("latin-1")
            if text.startswith("SIP/2.0"):
                continue
            self.requests.append(text)
            status = self.answers.get(text.split(" ", 1)[0])
            if status is not None:
                self._socket.sendto(self._answer(text, status).encode("latin-1"), source)

    def _answer(self, request: str, status: int) -> str:
        asked = headers_of(request)
        contact = asked.get("contact", "")
        if not request.startswith("REGISTER "):
            contact = f"<sip:vendor@{self.address}>"
        return "\r\n".join(
            [
                f"SIP/2.0 {status} As told",
                *(f"{name.title()}: {asked[name]}" for name in _COPIED),
                f"To: {asked['to'].partition(';tag=')[0]};tag=vendor",
                f"Contact: {contact}",
                f"Expires: {asked.get('expires', '0')}",
                "Content-Length: 0",
                "",
                "",
            ]
        )


def headers_of(message: str) -> dict[str, str]:
    """The first of each header of a message, by name in lower case."""
    found: dict[str, str] = {}
    for line in message.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.setdefault(name.strip().lower(), value.strip())
    return found
