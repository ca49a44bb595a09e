# SPDX-License-Identifier: Apache-2.0
"""The one wrapper around the native module; nothing else imports `ringfence._core`."""

from os import PathLike
from typing import Literal

import msgspec

from ringfence import _core
from ringfence.errors import ConfigError, CoreError

# --- drill: the load sender and its message templates ---


class FloodLatency(msgspec.Struct, frozen=True, kw_only=True):
    """From sending a request to its first final answer; microseconds by the sender's clock."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class SourceCount(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams sent from an address, repetitions included, and its requests that got a final answer."""

    sent: int
    answered: int


class FloodReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the load sender did.

    Shape: `sent` = `requests` + `retransmitted` + `noise`; `requests` = `answered` + `lost`. Rates and
    latency cover the `measured_s` between the warm-up and the last request, everything else the whole run.
    """

    target: str
    seed: int
    seconds: float
    measured_s: float
    sent: int
    requests: int
    retransmitted: int
    noise: int
    by_method: dict[str, int]
    sent_per_s: float
    answered: int
    answered_per_s: float
    duplicates: int
    by_status: dict[str, int]
    unmatched: int
    lost: int
    loss_percent: float
    skipped: int
    dropped_here: int
    average_bytes: float
    cpu_s: float
    latency_us: FloodLatency
    by_source: dict[str, SourceCount] | None = None


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """What many TCP connections saw."""

    connected: int
    refused: int
    closed_by_target: int
    most_open: int
    requests: int
    bytes: int
    by_status: dict[str, int]


def flood(
    target: str,
    *,
    seconds: float,
    count: int | None = None,
    rate: float | None = None,
    window: int | None = None,
    sources: int = 4096,
    train: int = 1,
    mix: dict[Literal["invite", "register", "options", "random"], int] | None = None,
    grammars: tuple[str, ...] = (),
    retransmit: int = 0,
    retransmit_after_s: float = 0.5,
    seed: int = 1,
    linger_s: float = 0.5,
    by_source: bool = False,
    counts_file: str | PathLike[str] | None = None,
) -> FloodReport:
    """Send a load to a loopback target (`127.0.0.1:5060`) until it is over or Ctrl-C is pressed.

    Shape: without `rate` (per second) and `window` (unanswered requests) as fast as it goes. At most 3,600 s.
    Raises: ConfigError for a target that is not loopback or an option out of range, CoreError if the kernel
    refuses.
    """
    shares = {"invite": 1} if mix is None else {str(kind): share for kind, share in mix.items()}
    try:
        report = _core.flood(
            target,
            seconds=seconds,
            count=count,
            rate=rate,
            window=window,
            sources=sources,
            train=train,
            invite=shares.get("invite", 0),
            register=shares.get("register", 0),
            options=shares.get("options", 0),
            random=shares.get("random", 0),
            grammars=list(grammars),
            retransmit=retransmit,
            retransmit_after_s=retransmit_after_s,
            seed=seed,
            linger_s=linger_s,
            by_source=by_source,
            counts_file=counts_file,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise CoreError(str(error)) from error
    return msgspec.convert(report, FloodReport)


def streams(
    target: str,
    *,
    seconds: float,
    connections: int = 100,
    behaviour: Literal["requests", "slow", "half", "silent", "noise"] = "requests",
    sources: int = 64,
    byte_every_s: float = 0.2,
    seed: int = 1,
) -> StreamReport:
    """Keep many TCP connections to a loopback target open, most kinds of them ill-behaved.

    Raises: ConfigError for a target that is not loopback or an option out of range, CoreError if the kernel
    refuses.
    """
    try:
        report = _core.streams(
            target,
            seconds=seconds,
            connections=connections,
            behaviour=behaviour,
            sources=sources,
            byte_every_s=byte_every_s,
            seed=seed,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise CoreError(str(error)) from error
    return msgspec.convert(report, StreamReport)


def drill_templates() -> dict[str, str]:
    """The method that each message template writes, by the template's name (`tool/what`)."""
    return dict(_core.drill_templates())


def drill_message(
    template: str,
    *,
    target: str,
    source: str,
    seed: int,
    index: int,
    callee: str | None = None,
    caller: str | None = None,
    extension: str | None = None,
    authorization: str | None = None,
    password: str | None = None,
    cseq: int | None = None,
) -> bytes:
    """Write one message in the grammar of a tool; the same arguments give the same bytes.

    Shape: `target` and `source` are loopback addresses with ports; `index` is the number of the message in
    its run; what is None is chosen by chance, as the tool would; `authorization` is a whole header line
    without its end.
    Raises: ConfigError for an unknown template or an address that is not loopback.
    """
    try:
        return _core.drill_message(
            template,
            target=target,
            source=source,
            seed=seed,
            index=index,
            callee=_bytes(callee),
            caller=_bytes(caller),
            extension=_bytes(extension),
            authorization=_bytes(authorization),
            password=_bytes(password),
            cseq=cseq,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


# --- end of drill ---
