"""Print the packages that development needs, one a line, read from pyproject.toml.

They are installed before the native core is built, so that a change in Rust never reinstalls them.
"""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
print("\n".join([*project["dependencies"], *project["optional-dependencies"]["dev"]]))
