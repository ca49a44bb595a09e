# SPDX-License-Identifier: Apache-2.0
"""Who may call what. `snapshot` turns the settings into the document that the guard judges by."""
