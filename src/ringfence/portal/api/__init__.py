# SPDX-License-Identifier: Apache-2.0
"""The HTTP API `/api/v1`: everything that the pages do, for programs."""

from ringfence.portal.api.app import create_api

__all__ = ["create_api"]
