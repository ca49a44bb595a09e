# SPDX-License-Identifier: Apache-2.0
"""The command line as a person uses it, in the test's own process."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ringfence.cli.application import application


class Cli:
    """Runs commands on one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        runner = CliRunner(env={"RINGFENCE_DATA": str(self.data_dir), "RINGFENCE_CONFIG": None})
        return runner.invoke(
            application, arguments, input=stdin, prog_name="ringfence", catch_exceptions=False
        )

    def ok(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command that has to succeed."""
        result = self(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """What a command prints with --format json."""
        return json.loads(self.ok(*arguments, "--format", "json", stdin=stdin).stdout)
