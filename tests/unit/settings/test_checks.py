# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest

from ringfence.errors import ConfigError
from ringfence.settings import call_checks, checks
from ringfence.settings.model import ListName


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("198.51.100.0/24", "198.51.100.0/24"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8::/48", "2001:db8::/48"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_source_is_brought_to_its_normal_form(typed: str, normal: str) -> None:
    assert checks.source(typed) == normal


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "not an IP address"),
        ("carrier.example", "not an IP address"),
        ("192.0.2.256", "not an IP address"),
        ("192.0.2.1/33", "not an IP address"),
        ("fe80::1%eth0", "not an IP address"),
        ("１92.0.2.1", "not an IP address"),
        ("192.0.2.0/255.255.255.0", "mask that is not a number"),
        ("192.0.2.7/24", "host bits set"),
        ("2001:db8::1/48", "host bits set"),
        ("0.0.0.0/0", "too wide"),
        ("128.0.0.0/7", "too wide"),
        ("::/0", "too wide"),
        ("2000::/15", "too wide"),
        ("224.0.0.1", "cannot be where a packet comes from"),
        ("0.0.0.0", "cannot be where a packet comes from"),
    ],
)
def test_source_is_refused_in_plain_words(typed: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checks.source(typed)
    assert said in caught.value.message
    assert caught.value.code == "bad_value"


def test_host_bits_are_refused_with_both_ways_out() -> None:
    with pytest.raises(ConfigError) as caught:
        checks.source("192.0.2.7/24")
    assert caught.value.hint == "write 192.0.2.0/24 for the network or 192.0.2.7 for the one address"


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("192.0.2.3:5060", "192.0.2.3:5060"),
        ("192.0.2.3:05060", "192.0.2.3:5060"),
        ("[2001:DB8::1]:5060", "[2001:db8::1]:5060"),
        ("[::ffff:192.0.2.3]:5060", "192.0.2.3:5060"),
        ("2001:db8::5060", "2001:db8::5060"),
        ("198.51.100.0/24", "198.51.100.0/24"),
    ],
)
def test_gateway_address_may_have_a_port(typed: str, normal: str) -> None:
    assert checks.gateway_address(typed) == normal


@pytest.mark.parametrize(
    "typed",
    ["192.0.2.3:0", "192.0.2.3:65536", "192.0.2.3:sip", "192.0.2.3:", "192.0.2.0/24:5060", "[2001:db8::1]"],
)
def test_gateway_address_with_a_bad_port_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checks.gateway_address(typed)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("left", "right", "share"),
    [
        ("192.0.2.3:5060", "192.0.2.0/24", True),
        ("192.0.2.0/24", "192.0.2.3", True),
        ("192.0.2.3", "192.0.2.4", False),
        ("[2001:db8::1]:5060", "2001:db8::/32", True),
        ("2001:db8::/32", "192.0.2.1", False),
        ("192.0.2.1", "2001:db8::/32", False),
    ],
)
def test_overlap_looks_at_addresses_only(left: str, right: str, share: bool) -> None:
    assert checks.overlap(left, right) is share


@pytest.mark.parametrize("typed", ["", "+", "00 44", "44a", "+44-20", "1" * 33, "٤٤"])
def test_number_prefix_that_is_not_digits_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError, match="not a number prefix"):
        checks.list_value(ListName.CALLEE, typed)


@pytest.mark.parametrize("typed", ["+972", "00972", "1"])
def test_number_prefix_is_kept_as_dialled(typed: str) -> None:
    assert checks.list_value(ListName.CALLER, typed) == typed


@pytest.mark.parametrize("typed", ["", "a b", "10@01", "100\n", "1" * 65, "tél"])
def test_phone_number_that_a_sip_uri_cannot_carry_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError):
        checks.phone_number(typed)


@pytest.mark.parametrize("typed", ["", " a", "a\x1b[31m", "a\nb", "x" * 65])
def test_gateway_name_that_would_confuse_a_screen_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError):
        checks.gateway_name(typed)


@pytest.mark.parametrize("check", [checks.gateway_name, call_checks.group_name])
@pytest.mark.parametrize("typed", [".", "..", "a/../b", "./a"])
def test_name_that_no_browser_asks_for_is_refused(check: Callable[[str], str], typed: str) -> None:
    with pytest.raises(ConfigError, match="cannot stand in the address of its page"):
        check(typed)
    assert check("a.b/...") == "a.b/..."


def test_weak_password_is_refused_and_not_repeated() -> None:
    for text, owner in [("short", "1001"), ("12345678", "12345678"), ("Supervisor", "supervisor")]:
        with pytest.raises(ConfigError) as caught:
            checks.password(text, owner)
        assert text not in caught.value.message


def test_remark_is_one_bounded_line() -> None:
    assert checks.remark("  scanner  ") == "scanner"
    for text in ("a\nb", "x" * 201):
        with pytest.raises(ConfigError):
            checks.remark(text)
