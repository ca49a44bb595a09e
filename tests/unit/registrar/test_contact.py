# SPDX-License-Identifier: Apache-2.0
"""Contacts of a REGISTER (RFC 3261 §20.10)."""

import pytest

from ringfence.registrar.contact import Contact, parameters_of, read_contact


@pytest.mark.parametrize(
    ("value", "contact"),
    [
        ("<sip:a@b>", Contact(uri="sip:a@b")),
        ("sip:a@b", Contact(uri="sip:a@b")),
        ("*", Contact(uri="*")),
        ("<sip:a@b;q=0.1>;expires=60;q=0.7", Contact(uri="sip:a@b;q=0.1", expires_s=60, q=700)),
        ('"x;q=0 <y>" <sip:a@b>; Q = 0.25 ; Expires=5', Contact(uri="sip:a@b", expires_s=5, q=250)),
        ("<sip:a@b>;q=0", Contact(uri="sip:a@b", q=0)),
        ("<sip:a@b>;expires=soon", Contact(uri="sip:a@b", expires_s=3600)),
        ("<sip:a@b>;expires", Contact(uri="sip:a@b", expires_s=3600)),
        ("<sip:a@b>;expires=99999999999", Contact(uri="sip:a@b", expires_s=3600)),
        ("<sip:a@b>;q=1.000", Contact(uri="sip:a@b", q=1000)),
        (
            '<sip:a@b>;+sip.instance="<urn:uuid:1>";reg-id=2;expires=9',
            Contact(uri="sip:a@b", instance="urn:uuid:1", reg_id=2, expires_s=9),
        ),
    ],
)
def test_contacts_are_read(value: str, contact: Contact) -> None:
    assert read_contact(value) == contact


@pytest.mark.parametrize(
    "value",
    [
        "<sip:a@b>;q=2",
        "<sip:a@b>;q=0.1234",
        "<sip:a@b>;q=-1",
        "<sip:a@b>;reg-id=x",
        "<sip:@b>",
        "<sip:a@b:99999>",
        f'<sip:a@b>;+sip.instance="<{"x" * 200}>"',
    ],
)
def test_contacts_that_make_no_sense_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_contact(value)


def test_a_fault_ends_the_parameters_that_are_read() -> None:
    assert parameters_of('<sip:a@b>;x=1;"y";z=2') == {"x": "1"}
    assert parameters_of("") == {}
