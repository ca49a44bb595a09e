# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from os import PathLike
from typing import Any

__version__: str

# drill

def flood(
    target: str,
    *,
    seconds: float = 5.0,
    count: int | None = None,
    rate: float | None = None,
    window: int | None = None,
    sources: int = 4096,
    sockets: int = 8,
    batch: int = 32,
    train: int = 1,
    invite: int = 1,
    register: int = 0,
    options: int = 0,
    random: int = 0,
    grammars: Sequence[str] = ...,
    retransmit: int = 0,
    retransmit_after_s: float = 0.5,
    core: int | None = None,
    seed: int = 1,
    linger_s: float = 0.5,
    warm_up_s: float = 0.0,
    by_source: bool = False,
    counts_file: str | PathLike[str] | None = None,
) -> dict[str, Any]: ...
def streams(
    target: str,
    *,
    connections: int = 100,
    behaviour: str = "requests",
    sources: int = 64,
    seconds: float = 5.0,
    byte_every_s: float = 0.2,
    seed: int = 1,
) -> dict[str, Any]: ...
def drill_templates() -> list[tuple[str, str]]: ...
def drill_message(
    template: str,
    *,
    target: str,
    source: str,
    seed: int,
    index: int,
    callee: bytes | None = None,
    caller: bytes | None = None,
    extension: bytes | None = None,
    authorization: bytes | None = None,
    password: bytes | None = None,
    cseq: int | None = None,
) -> bytes: ...
