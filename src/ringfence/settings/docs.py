# SPDX-License-Identifier: Apache-2.0
"""Writes docs/parameters.md and docs/config.md from the definitions.

Run as `python -m ringfence.settings.docs [DIRECTORY]`.
"""

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from ringfence.settings.node_file import KEYS
from ringfence.settings.parameters import PARAMETERS, Parameter

_PARAMETERS = """\
# Parameters

<!-- Written by `python -m ringfence.settings.docs`; change the definitions, not this page. -->

The operator's switches. `ringfence param list` shows them, `ringfence param set NAME VALUE` changes one:
the switch has it in force within a second, and the change is in `ringfence param history`. A value out of
range is refused. Names that VOS3000 has mean here what they mean there; names that start with `RF_` are
Ringfence's own.
"""

_CONFIG = """\
# The node's configuration file

<!-- Written by `python -m ringfence.settings.docs`; change the definitions, not this page. -->

`ringfence run --config ringfence.toml` reads it. No file is needed: every key has a default, and `--data`,
`--sip` and `--portal` on the command line count before the file. `ringfence config check` says whether a file
is good and `ringfence config show` what is in force. An unknown key is an error. What operators change while
the switch runs is not here: see [parameters](parameters.md).
"""


def parameters_page() -> str:
    """All parameters, group by group."""
    lines = [_PARAMETERS.rstrip()]
    groups = {parameter.group: None for parameter in PARAMETERS}
    for group in groups:
        lines += [
            "",
            f"## {group}",
            "",
            "| Name | Default | Allowed | Meaning | From |",
            "|---|---|---|---|---|",
        ]
        lines += [_parameter_row(parameter) for parameter in PARAMETERS if parameter.group == group]
    return "\n".join(lines) + "\n"


def _parameter_row(parameter: Parameter) -> str:
    return (
        f"| `{parameter.name}` | {parameter.default} | {parameter.range_text()} "
        f"| {parameter.meaning} | {parameter.source} |"
    )


def config_page() -> str:
    """The node's file, key by key."""
    last = "Keys under `[experimental]` may change or go without notice. There are none at present."
    return "\n".join([_CONFIG.rstrip(), *_config_rows(), "", last]) + "\n"


def _config_rows() -> Iterator[str]:
    for table, keys in groupby(KEYS.values(), key=lambda key: key.path.rpartition(".")[0]):
        yield from ("", f"## `[{table}]`" if table else "## Top level", "")
        yield from ("| Key | Default | Allowed | Why |", "|---|---|---|---|")
        for key in keys:
            default = f"`{key.default}`" if key.default else "none"
            yield f"| `{key.path.rpartition('.')[2]}` | {default} | {key.allowed} | {key.why} |"


PAGES = {"parameters.md": parameters_page, "config.md": config_page}


def main(arguments: list[str]) -> None:
    """Write the pages into the directory given, or into docs."""
    directory = Path(arguments[0] if arguments else "docs")
    for name, page in PAGES.items():
        (directory / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
