# SPDX-License-Identifier: Apache-2.0
"""The switch process: the edge, the calls, the settings in force, and the answers to control.sock."""
