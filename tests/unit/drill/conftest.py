# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from kit.cli import Cli


@pytest.fixture
def cli(data_dir: Path) -> Cli:
    """The command line on a data directory that nothing has used yet."""
    return Cli(data_dir)
