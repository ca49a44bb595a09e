# SPDX-License-Identifier: Apache-2.0
"""Countries of addresses and numbers, whatever strangers write."""

import subprocess
import sys
from pathlib import Path

import iptocc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringfence
from ringfence.ledger.dialled import international
from ringfence.ledger.geography import (
    COUNTRIES,
    areas_of_country,
    countries_of_addresses,
    country_of_address,
    country_of_area,
    country_of_number,
    know_areas,
)


@pytest.mark.parametrize(
    ("dialled", "meant"),
    [
        ("+972595725668", "972595725668"),
        ("00972595725668", "972595725668"),
        ("+00972595725668", "972595725668"),
        ("011972597634123", "972597634123"),
        ("9011972597634123", "972597634123"),
        ("900972592546689", "972592546689"),
        ("981046500729221", "46500729221"),
        ("81046500729221", "46500729221"),
        ("00046500729221", "46500729221"),
        ("0011972595725668", "972595725668"),
        ("972595725668", "972595725668"),
        ("15515500380", "15515500380"),
        ("100", ""),
        ("5550100", ""),
        ("0044", ""),
        ("00972595725668;phone-context=x", ""),
        ("00" + "9" * 30, ""),
        ("", ""),
        ("+٠٠٩٧٢٥٩٥٧٢٥", ""),
        ("00972595725668\n", ""),
    ],
)
def test_access_codes_are_taken_off(dialled: str, meant: str) -> None:
    assert international(dialled) == meant


@pytest.mark.parametrize(
    ("dialled", "country"),
    [
        ("00972595725668", "IL"),
        ("+46500729221", "SE"),
        ("81046500729221", "SE"),
        ("011442079460000", "GB"),
        ("+14162345678", "CA"),
        ("0012125551234", "US"),
        ("+77012345678", "KZ"),
        ("+79161234567", "RU"),
        ("+80012345678", ""),
        ("+870773111632", ""),
        ("00210123456", ""),
        ("1001", ""),
    ],
)
def test_a_number_has_the_country_behind_its_access_codes(dialled: str, country: str) -> None:
    assert country_of_number(dialled) == country


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("193.0.6.139", "NL"),
        ("::ffff:193.0.6.139", "NL"),
        ("2001:67c:2e8:22::c100:68b", "NL"),
        ("2001:67c:2e8:22::c100:68b%eth0", "NL"),
        ("192.168.1.1", ""),
        ("fe80::1", ""),
        ("", ""),
        ("193.0.6.139 ", ""),
        ("'; DROP TABLE x; --", ""),
        ("1" * 65_536, ""),
    ],
)
def test_an_address_has_the_country_it_is_allocated_to(address: str, country: str) -> None:
    assert country_of_address(address) == country


@given(st.one_of(st.text(), st.from_regex(r"\A[+]?[0-9]{0,20}\Z"), st.ip_addresses().map(str)))
def test_strangers_text_gives_two_letters_or_nothing(text: str) -> None:
    for country in (country_of_number(text), country_of_address(text)):
        assert country == "" or (len(country) == 2 and country.isascii() and country.isupper())


@given(st.lists(st.ip_addresses().filter(lambda ip: getattr(ip, "ipv4_mapped", None) is None).map(str)))
def test_many_addresses_have_the_countries_that_each_has(addresses: list[str]) -> None:
    assert countries_of_addresses(addresses) == [country_of_address(address) for address in addresses]


def test_every_country_of_the_tables_can_be_asked_for() -> None:
    first_addresses = [f"{a}.{b}.0.1" for a in range(1, 224) for b in range(256)]
    found = {country for country in iptocc.country_code(first_addresses) if country}
    assert len(found) > 150
    assert found <= COUNTRIES


def test_the_areas_of_a_country_are_those_of_its_numbers() -> None:
    assert areas_of_country("BS") == ("1242",)
    assert areas_of_country("IL") == tuple(f"972{digit}" for digit in range(10))
    assert "1416" in areas_of_country("CA")
    assert "1416" not in areas_of_country("US")
    assert areas_of_country("XX") == ()


@given(st.from_regex(r"\A\+[1-9][0-9]{5,14}\Z"))
def test_a_number_lies_in_an_area_of_its_country_and_of_no_other(number: str) -> None:
    country = country_of_number(number)
    assert country == "" or (country in COUNTRIES and international(number)[:4] in areas_of_country(country))


def test_the_tables_of_numbers_are_not_loaded_at_the_start() -> None:
    code = "import sys, ringfence.ledger.geography; sys.exit('phonenumbers' in sys.modules)"
    beside = {"PYTHONPATH": str(Path(ringfence.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=beside).returncode == 0


def test_areas_are_known_before_anybody_asks_for_a_country() -> None:
    know_areas()
    looked_up = country_of_area.cache_info().misses
    areas_of_country("PT")
    assert country_of_area.cache_info().misses == looked_up
