# SPDX-License-Identifier: Apache-2.0
"""Attack the local switch or call through it, bounded and on loopback only, and say what was recorded.

`corpus` has the attempts with their truth (which tool, which class of attack), `scenarios` puts them into
runs, `driver` and `cracker` send them, `report` holds what came of it against the switch's books. `calls`
calls through the switch, with the settings of `demo` and the `phones`; `calls_report` holds its records
against what the callers saw.
"""
