# SPDX-License-Identifier: Apache-2.0
"""The office's HTTP side: a page of the latest call records, metrics, health."""
