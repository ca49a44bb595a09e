# SPDX-License-Identifier: Apache-2.0
"""The node's own configuration: what must be known before anything starts; a file or the command line.

Everything has a default; no file is needed. What operators change while the switch runs is not here but in
the settings store.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ringfence.errors import ConfigError
from ringfence.settings.listening import (
    Listen,
    Transport,
    bad_value,
    host_and_port,
    host_port,
    parse_listen,
)
from ringfence.settings.node_file import KEYS, Homer, NodeFile, TcpLimits, TlsSettings
from ringfence.settings.toml_text import Lines, parse

T = TypeVar("T")

_PORTAL_URL: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-f:]+\])(?::[0-9]{1,5})?/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalAddress:
    """Where the office answers HTTP. Port 0 = any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_port(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The configuration of this node, checked.

    Shape: `listen` has at least one entry and none twice.
    `settings_url` None = the file in `data_dir`.
    """

    name: str
    data_dir: Path
    listen: tuple[Listen, ...]
    portal: PortalAddress
    portal_url: str | None
    settings_url: str | None
    drain_s: int
    receive_buffer_bytes: int
    tcp: TcpLimits
    tls: TlsSettings
    homer: Homer


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says instead of the file; None or empty = nothing."""

    data: Path | None = None
    sip: tuple[str, ...] = ()
    portal: str | None = None


def load(path: Path | None = None, overrides: Overrides | None = None) -> NodeConfig:
    """Read and check the configuration; without a file it is all defaults.

    Raises: ConfigError that names file and line where there is one, and the nearest spelling of an unknown
    key.
    """
    wanted = Overrides() if overrides is None else overrides
    text = "" if path is None else _read(path)
    lines = Lines(text, "" if path is None else str(path))
    file = parse(text, NodeFile, lines, {name: key.allowed for name, key in KEYS.items()})
    sip = wanted.sip or file.sip
    listen = tuple(
        _at(None if wanted.sip else lines, f"$.sip[{place}]", parse_listen, item)
        for place, item in enumerate(sip)
    )
    for place, item in enumerate(listen):
        if item.port != 0 and item.bound in [earlier.bound for earlier in listen[:place]]:
            raise lines.error(
                f"$.sip[{place}]", f"{item.bound} is listed twice", hint="leave one of them out"
            )
    _check_certificate(file.tls, listen, lines)
    portal = file.portal if wanted.portal is None else wanted.portal
    return NodeConfig(
        name=file.name,
        data_dir=Path(file.data) if wanted.data is None else wanted.data,
        listen=listen,
        portal=_at(None if wanted.portal else lines, "$.portal", parse_portal, portal),
        portal_url=None
        if file.portal_url is None
        else _at(lines, "$.portal_url", parse_portal_url, file.portal_url),
        settings_url=file.settings_url,
        drain_s=file.drain_s,
        receive_buffer_bytes=file.receive_buffer_bytes,
        tcp=file.tcp,
        tls=file.tls,
        homer=_homer(file.homer, lines),
    )


def _homer(homer: Homer, lines: Lines) -> Homer:
    if homer.address is None:
        return homer
    host, port = _at(lines, "$.homer.address", _homer_address, homer.address)
    return msgspec.structs.replace(homer, address=host_port(host, port))


def _homer_address(text: str) -> tuple[str, int]:
    host, port = host_and_port(text, text, "192.0.2.1:9060")
    if not port:
        raise bad_value(f"{text!r} has port 0", "write 192.0.2.1:9060")
    return host, port


def _check_certificate(tls: TlsSettings, listen: tuple[Listen, ...], lines: Lines) -> None:
    """Certificate and key come together, and nothing listens with TLS without them."""
    if (tls.certificate is None) != (tls.key is None):
        there, missing = ("certificate", "key") if tls.key is None else ("key", "certificate")
        raise lines.error(
            f"$.tls.{there}", f"there is no tls.{missing}", hint="set both tls.certificate and tls.key"
        )
    for item in listen:
        if item.transport is Transport.TLS and tls.certificate is None:
            raise bad_value(
                f"{item} needs a certificate", "set tls.certificate and tls.key in the file for --config"
            )


def parse_portal(text: str) -> PortalAddress:
    """Read where to answer HTTP: "127.0.0.1:8080" or "[::1]:8080".

    Raises: ConfigError("bad_value").
    """
    host, port = host_and_port(text, text, "127.0.0.1:8080")
    return PortalAddress(host=host, port=port)


def parse_portal_url(text: str) -> str:
    """Read what people type to reach the portal: "https://portal.example.com", without a path.

    Raises: ConfigError("bad_value").
    """
    if not _PORTAL_URL.fullmatch(text):
        raise bad_value(
            f"{text!r} is no address of a web site", "write https://portal.example.com, without a path"
        )
    return text.rstrip("/")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint="check the path and its access"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error


def _at(lines: Lines | None, path: str, parse: Callable[[str], T], text: str) -> T:
    """Parse a value, and name its line if it came from the file."""
    try:
        return parse(text)
    except ConfigError as error:
        if lines is None:
            raise
        raise lines.error(path, error.message, hint=error.hint) from error
