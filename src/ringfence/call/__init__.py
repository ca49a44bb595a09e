# SPDX-License-Identifier: Apache-2.0
"""What an admitted request leads to: its answer and its call record."""
