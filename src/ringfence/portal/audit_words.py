# SPDX-License-Identifier: Apache-2.0
"""What the audit calls an act and its object, in words for pages; what is not here is shown as it is kept."""

from typing import Final

VERBS: Final = {
    "add": "added",
    "set": "changed",
    "remove": "removed",
    "reset": "set back to its default",
    "rotate": "replaced",
    "acknowledge": "acknowledged",
    "set_url": "changed the address",
    "set_secret": "changed the secret",
    "renew_secret": "made a new secret",
    "set_password": "set a password",
    "set_second_factor": "set up a second factor",
    "remove_second_factor": "took the second factor away",
    "hang_up": "hung up",
    "log_in": "logged in",
    "log_out": "logged out",
    "wrong_password": "wrong password",
    "wrong_code": "wrong code",
    "locked_out": "locked out",
}
"""What was done, by the action that the audit keeps."""

OBJECTS: Final = {
    "parameter": "parameter",
    "gateway": "mapping gateway",
    "route": "routing gateway",
    "group": "group of routing gateways",
    "phone": "phone",
    "block": "list entry",
    "user": "user",
    "login": "login",
    "token": "API token",
    "alarm": "alarm",
    "alarm_rule": "alarm rule",
    "channel": "channel",
    "webhook": "webhook",
    "call": "call",
    "nonce_key": "key of challenges",
}
"""What it was done to, by the kind that the audit keeps."""
