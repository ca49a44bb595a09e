# SPDX-License-Identifier: Apache-2.0
"""Ringfence: a SIP softswitch that keeps a record of every call it turns away."""
