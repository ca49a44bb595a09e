# SPDX-License-Identifier: Apache-2.0
"""What tests share: clocks that stand still, and whatever else takes the place of the outside world."""
