# SPDX-License-Identifier: Apache-2.0
"""control.sock: what the running switch tells, and is told by, the office and the command line.

All are on one machine. One request per line of JSON, one response per request, in order. `messages` has the
words, `server` the switch's half, `client` the other.
"""
