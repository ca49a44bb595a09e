# SPDX-License-Identifier: Apache-2.0
"""Every test here has a node of its own, made of real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.node import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A fresh data directory; whatever was started on it ends with the test."""
    made = Node(tmp_path)
    yield made
    made.end()
