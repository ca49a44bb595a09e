# SPDX-License-Identifier: Apache-2.0
"""What the office does by itself: it watches, raises alarms, and tells people and programs."""
