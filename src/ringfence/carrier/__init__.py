# SPDX-License-Identifier: Apache-2.0
"""Our standing with vendors: registrations with them, and whether they are there."""
