# SPDX-License-Identifier: Apache-2.0
"""Names for the numbers and strings that identify things, so that one kind is not taken for another."""

from typing import NewType

GatewayId = NewType("GatewayId", int)
"""A mapping gateway; never given again after the gateway is removed, because records carry it. 0 = none."""

RoutingGatewayId = NewType("RoutingGatewayId", int)
"""A routing gateway; never given again after the gateway is removed, because records carry it."""

BlockId = NewType("BlockId", int)
"""An entry of the black or white lists; never given twice."""

AlarmId = NewType("AlarmId", int)
"""An incident; never given twice."""

ChannelId = NewType("ChannelId", int)
"""A channel that alarms are told through; never given twice."""

WebhookId = NewType("WebhookId", int)
"""A webhook; never given twice."""

PhoneNumber = NewType("PhoneNumber", str)
"""The number of a phone of ours, which is also the user name of its credentials."""

SettingsVersion = NewType("SettingsVersion", int)
"""Counts changes of the settings; a higher number is a later state of all of them."""
