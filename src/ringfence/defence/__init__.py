# SPDX-License-Identifier: Apache-2.0
"""What attacks are, and what is done about them."""
