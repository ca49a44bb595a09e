# SPDX-License-Identifier: Apache-2.0
"""Alarms: open ones, past ones, when they open, and whom they are told."""

from starlette.responses import Response

from ringfence.defence.delivery import Outcome
from ringfence.errors import ConfigError, RingfenceError
from ringfence.ids import AlarmId, ChannelId, WebhookId
from ringfence.portal.rights import Right
from ringfence.portal.site import GuardedRoute, Site, Visit
from ringfence.settings.alarms_model import (
    AlarmRuleEdit,
    ChannelDraft,
    ChannelEdit,
    HookEvent,
    Level,
    WebhookDraft,
    WebhookEdit,
)

_PAST = 200


def routes(site: Site) -> list[GuardedRoute]:
    """The lists and their changes."""
    pages = _Alarms(site)
    return [
        site.route("/alarms", pages.alarms, Right.LOOK),
        site.route("/alarms/open", pages.opened, Right.LOOK),
        site.route("/alarms/rules", pages.rules, Right.LOOK),
        site.route("/alarms/rules/set", pages.set_rule, Right.SETTINGS, methods=["POST"]),
        site.route("/alarms/rules/reset", pages.reset_rule, Right.SETTINGS, methods=["POST"]),
        site.route("/alarms/channels/add", pages.add_channel, Right.SETTINGS, methods=["POST"]),
        site.route("/alarms/channels/set", pages.set_channel, Right.SETTINGS, methods=["POST"]),
        site.route("/alarms/channels/test", pages.test_channel, Right.SETTINGS, methods=["POST"]),
        site.route("/alarms/channels/remove", pages.remove_channel, Right.SETTINGS, methods=["POST"]),
        site.route("/alarms/webhooks/add", pages.add_webhook, Right.PEOPLE, methods=["POST"]),
        site.route("/alarms/webhooks/set", pages.set_webhook, Right.PEOPLE, methods=["POST"]),
        site.route("/alarms/webhooks/test", pages.test_webhook, Right.PEOPLE, methods=["POST"]),
        site.route("/alarms/webhooks/remove", pages.remove_webhook, Right.PEOPLE, methods=["POST"]),
        site.route("/alarms/{id:int}/acknowledge", pages.acknowledge, Right.ACKNOWLEDGE, methods=["POST"]),
    ]


class _Alarms:
    def __init__(self, site: Site) -> None:
        self._site = site

    def alarms(self, visit: Visit) -> Response:
        """Open alarms, and those that are over."""
        alarms = self._site.office.settings.alarms
        return self._site.page(visit, "alarms.html", alarms=alarms.open(), past=alarms.history(limit=_PAST))

    def opened(self, visit: Visit) -> Response:
        """The open alarms; a part of the page."""
        return self._site.page(visit, "alarms_part.html", alarms=self._site.office.settings.alarms.open())

    def acknowledge(self, visit: Visit) -> Response:
        """Say that somebody looks after it."""
        change = self._site.office.alarms.acknowledge(
            AlarmId(visit.request.path_params["id"]),
            note=visit.form.get("note", "").strip(),
            actor=visit.actor,
        )
        return self._site.done("/alarms", visit.say("The alarm is acknowledged."), change)

    def rules(self, visit: Visit) -> Response:
        """When alarms open and whom they are told."""
        return self._rules(visit)

    def _rules(self, visit: Visit, problem: RingfenceError | None = None) -> Response:
        settings, alarms = self._site.office.settings, self._site.office.alarms
        return self._site.page(
            visit,
            "alarm_rules.html",
            status=400 if problem else 200,
            problem=problem,
            rules=settings.alarms.rules(),
            channels=settings.channels.all(),
            webhooks=[
                (hook, alarms.posted(hook.id), alarms.retries(hook.id))
                for hook in (settings.webhooks.all() if visit.may(Right.PEOPLE) else ())
            ],
            levels=[level.value for level in Level],
            events=[event.value for event in HookEvent],
            form=visit.form if problem else {},
        )

    def set_rule(self, visit: Visit) -> Response:
        """Change when an alarm opens and clears."""
        form = visit.form
        try:
            edit = AlarmRuleEdit(
                enabled="enabled" in form,
                level=_level(visit),
                lower=_whole(visit, "lower"),
                upper=_whole(visit, "upper"),
            )
            change = self._site.office.settings.alarms.set_rule(
                _whole(visit, "code"), edit, actor=visit.actor
            )
        except ConfigError as error:
            return self._rules(visit, error)
        return self._site.done("/alarms/rules", visit.say("The rule is changed."), change)

    def reset_rule(self, visit: Visit) -> Response:
        """Back to the rule that is shipped."""
        change = self._site.office.settings.alarms.reset_rule(_whole(visit, "code"), actor=visit.actor)
        return self._site.done("/alarms/rules", visit.say("The rule is as shipped."), change)

    def add_channel(self, visit: Visit) -> Response:
        """Tell somebody more."""
        form = visit.form
        try:
            draft = ChannelDraft(
                name=form.get("name", "").strip(), url=form.get("url", "").strip(), least_level=_level(visit)
            )
            change = self._site.office.settings.channels.add(draft, actor=visit.actor)
        except ConfigError as error:
            return self._rules(visit, error)
        return self._site.done(
            "/alarms/rules", visit.say("{name} is told of alarms.", name=draft.name), change
        )

    def set_channel(self, visit: Visit) -> Response:
        """Tell from another level on, or not for a while."""
        form = visit.form
        try:
            edit = ChannelEdit(
                url=form.get("url", "").strip() or None, enabled="enabled" in form, least_level=_level(visit)
            )
            change = self._site.office.settings.channels.edit(
                ChannelId(_whole(visit, "id")), edit, actor=visit.actor
            )
        except ConfigError as error:
            return self._rules(visit, error)
        return self._site.done("/alarms/rules", visit.say("The channel is changed."), change)

    def test_channel(self, visit: Visit) -> Response:
        """Send a message to see that it arrives."""
        return self._tested(visit, self._site.office.alarms.send_test(ChannelId(_whole(visit, "id"))))

    def test_webhook(self, visit: Visit) -> Response:
        """POST an alarm event with the action "test", to see that it is taken."""
        return self._tested(visit, self._site.office.alarms.send_test_webhook(WebhookId(_whole(visit, "id"))))

    def _tested(self, visit: Visit, outcome: Outcome) -> Response:
        if outcome.is_delivered:
            return self._site.done("/alarms/rules", visit.say("The test message was taken."))
        failed = ConfigError(
            visit.say("The test message was not taken: {why}", why=visit.say(outcome.problem or "")),
            hint=visit.say("check the address"),
            code="delivery",
        )
        return self._rules(visit, failed)

    def remove_channel(self, visit: Visit) -> Response:
        """Tell somebody no longer."""
        change = self._site.office.settings.channels.remove(ChannelId(_whole(visit, "id")), actor=visit.actor)
        return self._site.done("/alarms/rules", visit.say("The channel is removed."), change)

    def add_webhook(self, visit: Visit) -> Response:
        """Tell a program; its secret is shown once."""
        form = visit.form
        try:
            draft = WebhookDraft(
                name=form.get("name", "").strip(), url=form.get("url", "").strip(), events=_events(visit)
            )
            made = self._site.office.settings.webhooks.add(draft, actor=visit.actor)
        except ConfigError as error:
            return self._rules(visit, error)
        self._site.take(made.change.version)
        return self._site.page(
            visit, "secret.html", title=draft.name, secret=made.secret, back="/alarms/rules"
        )

    def set_webhook(self, visit: Visit) -> Response:
        """Change what a program is told."""
        try:
            edit = WebhookEdit(enabled="enabled" in visit.form, events=_events(visit))
            change = self._site.office.settings.webhooks.edit(
                WebhookId(_whole(visit, "id")), edit, actor=visit.actor
            )
        except ConfigError as error:
            return self._rules(visit, error)
        return self._site.done("/alarms/rules", visit.say("The webhook is changed."), change)

    def remove_webhook(self, visit: Visit) -> Response:
        """Tell a program no longer."""
        change = self._site.office.settings.webhooks.remove(WebhookId(_whole(visit, "id")), actor=visit.actor)
        return self._site.done("/alarms/rules", visit.say("The webhook is removed."), change)


def _whole(visit: Visit, name: str) -> int:
    text = visit.form.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ConfigError(
            visit.say("“{text}” is no whole number", text=text[:20]),
            hint=visit.say("write digits only"),
            code="not_a_number",
        )
    return int(text)


def _level(visit: Visit) -> Level:
    try:
        return Level(visit.form.get("level", ""))
    except ValueError:
        raise ConfigError(visit.say("there is no such level"), code="bad_value") from None


def _events(visit: Visit) -> tuple[HookEvent, ...]:
    try:
        return tuple(HookEvent(name) for name in visit.ticked.get("events", ()))
    except ValueError:
        raise ConfigError(visit.say("there is no such event"), code="bad_value") from None
