# SPDX-License-Identifier: Apache-2.0
"""What an authenticated REGISTER means: which contact is bound to the flow it came on, and for how long."""
