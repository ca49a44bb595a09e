# SPDX-License-Identifier: Apache-2.0
"""Delivery: one message a channel, tried again while it fails, plain text, and no exception ever."""

import html
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from kit.clock import ManualClock
from kit.receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver
from ringfence.defence import delivery
from ringfence.defence.delivery import WAITS_S, Delivery, Message, Outcome, Worker, send
from ringfence.errors import StoreError
from ringfence.ids import ChannelId
from ringfence.settings.alarms_model import AlarmChannel, ChannelAddress, Level
from ringfence.text import inert

MESSAGE = Message(
    title="Ringfence n1: CPU, major", body="CPU: 95 %.\nAlarms: http://x/alarms", level=Level.MAJOR
)


def an_address(
    url: str = "json://127.0.0.1", *, number: int = 1, least: Level = Level.GENERAL, enabled: bool = True
) -> ChannelAddress:
    channel = AlarmChannel(
        id=ChannelId(number), name=f"c{number}", address="x://***", enabled=enabled, least_level=least
    )
    return ChannelAddress(channel=channel, url=url)


@dataclass(kw_only=True)
class Desk:
    """A delivery whose channels fail when they are told to."""

    clock: ManualClock
    channels: list[ChannelAddress] = field(default_factory=lambda: [an_address()])
    failing: set[int] = field(default_factory=set)
    sent: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.delivery = Delivery(lambda: tuple(self.channels), self.clock, send=self.send)

    def send(self, address: ChannelAddress, message: Message) -> Outcome:
        self.sent.append((address.channel.id, message.title))
        return Outcome(problem="down") if address.channel.id in self.failing else Outcome()


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return Desk(clock=clock)


# When and to whom


def test_each_channel_gets_a_message_once(desk: Desk) -> None:
    desk.channels = [an_address(number=1), an_address(number=2)]
    desk.delivery.deliver(MESSAGE)
    assert desk.delivery.step() is None
    desk.clock.advance(3600)
    assert desk.delivery.step() is None
    assert desk.sent == [(1, MESSAGE.title), (2, MESSAGE.title)]
    last = desk.delivery.last(ChannelId(1))
    assert last is not None
    assert last.outcome.is_delivered


@pytest.mark.parametrize("least", list(Level))
@pytest.mark.parametrize("level", list(Level))
def test_a_channel_is_told_from_its_least_level_up(desk: Desk, level: Level, least: Level) -> None:
    desk.channels = [an_address(least=least)]
    desk.delivery.deliver(replace(MESSAGE, level=level))
    desk.delivery.step()
    assert len(desk.sent) == (level.number >= least.number)


def test_a_channel_that_is_switched_off_or_removed_is_told_nothing(desk: Desk) -> None:
    desk.channels = [an_address(enabled=False)]
    desk.delivery.deliver(MESSAGE)
    assert desk.delivery.step() is None
    desk.channels, desk.failing = [an_address(number=2)], {2}
    desk.delivery.deliver(MESSAGE)
    assert desk.delivery.step() == WAITS_S[0]
    desk.channels = []
    desk.clock.advance(WAITS_S[0])
    assert desk.delivery.step() is None
    assert desk.sent == [(2, MESSAGE.title)]


def test_what_fails_is_tried_again_later_each_time_and_then_let_go(desk: Desk) -> None:
    desk.failing = {1}
    desk.delivery.deliver(MESSAGE)
    for tries, wait_s in enumerate(WAITS_S, 1):
        assert desk.delivery.step() == wait_s
        assert len(desk.sent) == tries
        assert desk.delivery.step() == wait_s
        desk.clock.advance(wait_s)
    assert desk.delivery.step() is None
    assert len(desk.sent) == len(WAITS_S) + 1
    desk.clock.advance(86_400)
    assert desk.delivery.step() is None
    assert len(desk.sent) == len(WAITS_S) + 1


def test_one_that_fails_keeps_no_other_from_being_told(desk: Desk) -> None:
    desk.channels, desk.failing = [an_address(number=1), an_address(number=2)], {1}
    desk.delivery.deliver(MESSAGE)
    desk.delivery.step()
    assert [channel for channel, _ in desk.sent] == [1, 2]
    desk.failing = set()
    desk.clock.advance(WAITS_S[0])
    assert desk.delivery.step() is None
    assert [channel for channel, _ in desk.sent] == [1, 2, 1]


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MOST_WAITING", 3)
    desk = Desk(clock=desk.clock, failing={1})
    for _ in range(5):
        desk.delivery.deliver(MESSAGE)
    assert desk.delivery.dropped == 2
    desk.delivery.step()
    desk.delivery.deliver(MESSAGE)
    desk.delivery.step()
    assert desk.delivery.dropped == 3
    assert len(desk.sent) == 3


def test_channels_that_cannot_be_read_lose_no_message(clock: ManualClock) -> None:
    desk = Desk(clock=clock)
    faults = [StoreError("locked")]

    def channels() -> tuple[ChannelAddress, ...]:
        if faults:
            raise faults.pop()
        return (an_address(),)

    made = Delivery(channels, clock, send=desk.send)
    made.deliver(MESSAGE)
    with pytest.raises(StoreError):
        made.step()
    assert made.step() is None
    assert len(desk.sent) == 1


# Through apprise


@pytest.fixture
def web() -> Iterator[HttpReceiver]:
    with http_receiver() as received:
        yield received


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with mail_receiver() as received:
        yield received


def mail_url(mail: MailReceiver) -> str:
    return f"mailto://127.0.0.1:{mail.port}?from=ringfence@example.com&to=noc@example.com&mode=insecure"


def test_a_message_arrives_by_http_and_by_mail(web: HttpReceiver, mail: MailReceiver) -> None:
    assert send(an_address(f"json://{web.address}/in"), MESSAGE) == Outcome()
    assert send(an_address(mail_url(mail)), MESSAGE) == Outcome()
    [request] = web.requests
    told = json.loads(request.body)
    assert request.path == "/in"
    assert (told["title"], told["message"], told["type"]) == (MESSAGE.title, MESSAGE.body, "failure")
    [letter] = mail.mails
    assert letter["Subject"] == MESSAGE.title
    assert letter["To"] == "noc@example.com"
    assert letter.get_content_type() == "text/plain"
    assert letter.get_content().strip().splitlines() == MESSAGE.body.splitlines()


STRANGE = (
    "<img src=x onerror=alert(1)> <!channel> <@U1> @everyone @here #ops *b* _i_ `c` ~s~ ||x|| [a](http://e.com)"
    " :bomb: https://evil.example/x www.evil.example {{7*7}} \x1b[2J\u202e\u2066\r\n.\r\nBcc: x@y \u200b\x00"
)


@pytest.mark.parametrize("form", ["json", "mailto"])
def test_what_a_stranger_sent_is_inert_in_a_message(form: str, web: HttpReceiver, mail: MailReceiver) -> None:
    message = replace(MESSAGE, title=f"Alarm {inert(STRANGE, 1000)}", body=f"It was {inert(STRANGE, 1000)}.")
    url = f"json://{web.address}" if form == "json" else mail_url(mail)
    assert send(an_address(url), message) == Outcome()
    if form == "json":
        told = json.loads(web.requests[0].body)
        texts = [told["title"], told["message"]]
    else:
        texts = [str(mail.mails[0]["Subject"]), mail.mails[0].get_content().strip()]
        assert mail.mails[0]["Bcc"] is None
        assert len(mail.mails) == 1
    for text in texts:
        assert text.isprintable()
        assert html.escape(text, quote=False) == text
        for active in "@#*_`~|[]{}<>&":
            assert active not in text
        assert "//" not in text
        assert "www.evil" not in text
        assert ":bomb" not in text
        assert "evil.example" not in text


def test_what_is_long_is_cut() -> None:
    assert inert("x" * 65_536) == "x" * 80 + "…"
    assert len(inert("<" * 65_536)) == 80 * 4 + 1


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:9/geheim7",
        "mailto://noc:geheim7@127.0.0.1:9?from=a@example.com&to=b@example.com&mode=insecure",
        "nosuch://geheim7",
        "slack://geheim7",
    ],
)
def test_a_dead_or_unreadable_channel_gives_an_outcome_and_no_secret(url: str) -> None:
    outcome = send(an_address(url), MESSAGE)
    assert not outcome.is_delivered
    assert outcome.problem
    assert "geheim7" not in outcome.problem


def test_a_refusal_says_what_was_answered_and_a_redirect_is_not_followed(web: HttpReceiver) -> None:
    web.answers = [(503, {}), (302, {"Location": f"http://{web.address}/elsewhere"})]
    outcome = send(an_address(f"json://{web.address}/in"), MESSAGE)
    assert "503" in (outcome.problem or "")
    assert not send(an_address(f"json://{web.address}/in"), MESSAGE).is_delivered
    assert [request.path for request in web.requests] == ["/in", "/in"]


def test_a_fault_inside_apprise_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("geheim7")

    monkeypatch.setattr("apprise.Apprise.instantiate", broken)
    outcome = send(an_address(), MESSAGE)
    assert outcome.problem == "RuntimeError in apprise"


def test_apprise_writes_nothing_into_our_log() -> None:
    # pytest's own handlers listen to loggers that do not pass on what they are told.
    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.name)

    heard: list[str] = []
    listener = Listener()
    logging.getLogger().addHandler(listener)
    try:
        send(an_address("json://127.0.0.1:9/geheim7"), MESSAGE)
    finally:
        logging.getLogger().removeHandler(listener)
    assert "apprise" not in heard


def test_the_test_of_a_channel_is_sent_at_once_whatever_its_level(
    web: HttpReceiver, clock: ManualClock
) -> None:
    made = Delivery(tuple, clock)
    address = an_address(f"json://{web.address}", least=Level.CRITICAL, enabled=False)
    assert made.send_test(address, node="n1").is_delivered
    assert json.loads(web.requests[0].body)["title"] == "Ringfence n1: test"
    last = made.last(address.channel.id)
    assert last is not None
    assert last.at_us == clock.utc_us()


# The thread


def test_a_worker_goes_on_after_what_a_step_raises_and_ends_when_told_to() -> None:
    steps: list[int] = []
    done, woken = threading.Event(), threading.Event()

    def step() -> float | None:
        steps.append(len(steps))
        if len(steps) == 1:
            raise StoreError("locked")
        if len(steps) == 2:
            raise ValueError("\x1b[2J")
        if len(steps) == 3:
            return 0.0
        done.set()
        return None

    worker = Worker("t", step, woken, longest_s=0.01)
    worker.start()
    assert done.wait(20)
    worker.stop(20)
    assert not [thread for thread in threading.enumerate() if thread.name == "t"]
