# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from ringfence.settings.docs import PAGES, main
from ringfence.settings.node_file import KEYS
from ringfence.settings.parameters import PARAMETERS

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_in_the_tree_is_what_the_definitions_say(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), (
        "run: python -m ringfence.settings.docs"
    )


def test_pages_name_every_parameter_and_key(tmp_path: Path) -> None:
    main([str(tmp_path)])
    parameters = (tmp_path / "parameters.md").read_text(encoding="utf-8")
    config = (tmp_path / "config.md").read_text(encoding="utf-8")
    assert [parameter.name for parameter in PARAMETERS if f"`{parameter.name}`" not in parameters] == []
    assert [path for path in KEYS if f"`{path.rpartition('.')[2]}`" not in config] == []


def test_every_key_says_why() -> None:
    assert [key.path for key in KEYS.values() if not key.why.endswith(".")] == []
