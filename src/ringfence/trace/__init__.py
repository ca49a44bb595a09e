# SPDX-License-Identifier: Apache-2.0
"""What is made of traced messages: ladders, notes of decisions, text for terminals, packet captures.

The messages themselves are in the edge's memory (`crates/edge/src/trace`) and come over control.sock. Nothing
here asks a socket or a clock.
"""
