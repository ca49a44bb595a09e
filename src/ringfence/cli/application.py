# SPDX-License-Identifier: Apache-2.0
"""The root of the command line: which commands there are, and where each one lives."""

from typing import Final

from ringfence.cli.group import Application, Place

_SECTIONS: Final = {
    "Run": {
        "run": Place("ringfence.cli.run:command", "Run switch and office."),
        "switch": Place("ringfence.cli.switch:command", "Run the switch alone."),
        "office": Place("ringfence.cli.office:command", "Run the office alone."),
        "config": Place("ringfence.cli.config:command", "Check or show the node's configuration."),
    },
    "Look": {
        "cdr": Place("ringfence.cli.cdr:command", "List, count or export call records."),
        "call": Place("ringfence.cli.call:command", "Look at live calls, and end them."),
        "books": Place("ringfence.cli.books:command", "Show whether every message is accounted for."),
        "top": Place("ringfence.cli.top:command", "Watch the switch at work."),
        "trace": Place("ringfence.cli.trace:command", "Show the last messages of calls."),
    },
    "Decide": {
        "param": Place("ringfence.cli.param:command", "Show and change parameters."),
        "gateway": Place("ringfence.cli.gateway:command", "Authorise sources by address or password."),
        "route": Place("ringfence.cli.route:command", "Say where calls go, and ask why."),
        "group": Place("ringfence.cli.route_group:command", "Group the gateways that calls go to."),
        "phone": Place("ringfence.cli.phone:command", "Let phones register."),
        "block": Place("ringfence.cli.block:command", "Keep the black and white lists."),
        "user": Place("ringfence.cli.user:command", "Let people log in to the portal."),
        "token": Place("ringfence.cli.token:command", "Let programs call the API."),
    },
    "Keep": {
        "ledger": Place("ringfence.cli.ledger:command", "Verify or rebuild the call records."),
        "backup": Place(
            "ringfence.cli.backup:command", "Save settings, journal and call records in one file."
        ),
        "restore": Place("ringfence.cli.restore:command", "Bring a backup back."),
    },
    "Other": {
        "drill": Place("ringfence.cli.drill:command", "Attack the local switch, or call through it."),
        "completion": Place("ringfence.cli.completion:command", "Print the completion script of a shell."),
        "version": Place("ringfence.cli.version:command", "Print the version."),
    },
}

application = Application(
    _SECTIONS,
    name="ringfence",
    help="A SIP softswitch that keeps a record of every call it turns away.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)


@application.result_callback()
def _ignore_result(_: object) -> None:
    """A command's return value is not an exit code."""
