# SPDX-License-Identifier: Apache-2.0
"""Where calls go: prefixes, routing gateways in order, what follows a failure. Pure: no clock, no store."""
