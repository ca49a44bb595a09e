# SPDX-License-Identifier: Apache-2.0
"""What operators decide: parameters, gateways, phones, lists, users; and the node's own file.

`store.SettingsStore` is the way in. The switch opens it read-only; the command line and the portal write to
it.
"""
