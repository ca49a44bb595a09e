# SPDX-License-Identifier: Apache-2.0
"""HA1, the only form in which a phone's password is kept (RFC 7616 §3.4.2, RFC 8760 §2)."""

import hashlib

from ringfence.ids import PhoneNumber
from ringfence.settings.model import PhoneSecret


def phone_secret(number: PhoneNumber, realm: str, password: str) -> PhoneSecret:
    """Digest a password for both algorithms that we offer.

    Shape: lower-case hex, as it goes into the response computation.
    """
    text = f"{number}:{realm}:{password}".encode()
    # MD5 is what phones can do (RFC 3261 §22.4); the guard offers SHA-256 beside it.
    md5 = hashlib.md5(text, usedforsecurity=False).hexdigest()
    return PhoneSecret(number=number, md5=md5, sha256=hashlib.sha256(text).hexdigest())
