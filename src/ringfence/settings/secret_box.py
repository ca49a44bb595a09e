# SPDX-License-Identifier: Apache-2.0
"""Secrets that we have to send (registering with a vendor), encrypted at rest.

The key is the file `settings.key` in the data directory (mode 0600), and not in the settings themselves: a
copy of them, or a dump of the database server, tells no secret. Nodes that share settings on a server need
the same file.
"""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Final

from ringfence.errors import StoreError
from ringfence.text import Sentence, sentence

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_FILE: Final = "settings.key"


class SecretBox:
    """Seals and opens secrets with the key of one data directory; the key is made when it is first needed."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / KEY_FILE

    def seal(self, secret: str) -> str:
        """Encrypt a secret (Fernet: AES-128-CBC and HMAC-SHA256).

        Raises: StoreError if there is no key and none can be made.
        """
        return self._fernet(create=True).encrypt(secret.encode()).decode()

    def open(self, sealed: str, owner: Sentence) -> str:
        """Decrypt what `seal` made; `owner` is named in the error.

        Raises: StoreError("secret") if the key is not the one that it was sealed with.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - few commands have a secret to open

        try:
            return self._fernet(create=False).decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise StoreError(
                sentence(
                    "the secret of {owner} was encrypted with another key than {path} holds",
                    owner=owner,
                    path=self._path,
                ),
                hint="bring back the file that belongs to these settings, or set the secret again",
                code="secret",
            ) from error

    def _fernet(self, *, create: bool) -> "Fernet":
        from cryptography.fernet import Fernet  # noqa: PLC0415 - as above

        try:
            if create and not self._path.exists():
                _write_key(self._path, Fernet.generate_key())
            return Fernet(self._path.read_bytes().strip())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else sentence("it holds no key")
            raise StoreError(
                sentence(
                    "the key of the secrets cannot be used: {path} ({reason})", path=self._path, reason=reason
                ),
                hint="bring back the file that belongs to these settings, or set the secrets again",
                code="secret",
            ) from error


def _write_key(path: Path, key: bytes) -> None:
    """Write a new key whole or not at all; a key that another process wrote meanwhile stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A file of mode 0600 under a name that nobody else has.
    descriptor, draft = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
