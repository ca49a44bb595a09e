# SPDX-License-Identifier: Apache-2.0
"""One module per migration, named by its revision."""
