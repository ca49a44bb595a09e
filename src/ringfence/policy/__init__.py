# SPDX-License-Identifier: Apache-2.0
"""Who may call what, and by which numbers.

`snapshot` turns the settings into the document that the guard judges by. What it lets through is judged by
`admission`, against the `table` of one version of the settings.
"""
