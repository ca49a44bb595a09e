# SPDX-License-Identifier: Apache-2.0
"""Alembic migrations of the settings store; `settings.database` runs them when the store is opened."""
