# SPDX-License-Identifier: Apache-2.0
"""Attack the local switch, bounded and on loopback only, and say what was sent and what was recorded.

`corpus` has the attempts with their truth (which tool, which class of attack), `scenarios` puts them into
runs, `driver` and `cracker` send them, `report` holds what came of it against the switch's books.
"""
