# SPDX-License-Identifier: Apache-2.0
"""Ringfence: a SIP softswitch that keeps a record of every call it turns away."""

from ringfence import errors

__version__ = "0.1.0"
__all__ = ["errors"]
