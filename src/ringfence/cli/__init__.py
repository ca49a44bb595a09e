# SPDX-License-Identifier: Apache-2.0
"""The `ringfence` command: data on stdout, everything else on stderr; exit 0 done, 1 failed, 2 bad usage.

Each command is a module that is imported only when it is called, so that help and completion are quick.
"""


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    from ringfence.cli.application import application  # noqa: PLC0415 - importing the package stays free

    application.main(prog_name="ringfence")
