# SPDX-License-Identifier: Apache-2.0
"""The acts on each kind of object in the settings store, one module per kind.

Every act is one transaction with its audit row, and answers with a `Change`. What is typed by people is
checked here, so the command line, the portal and imports refuse the same things in the same words.
"""
