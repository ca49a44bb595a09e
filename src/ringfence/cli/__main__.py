# SPDX-License-Identifier: Apache-2.0
"""`python -m ringfence.cli`, the same as `ringfence`."""

from ringfence.cli import main

main()
