# SPDX-License-Identifier: Apache-2.0
"""The screen of `ringfence top`."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Static

from ringfence.cli.books import verdict
from ringfence.cli.live import Line, Sample, balance_lines, counter_lines, headline
from ringfence.errors import ControlError
from ringfence.text import visible


class LiveScreen(App[None]):
    """Balance and counters with their rates, renewed every `interval_s` seconds; `ask` may block."""

    TITLE = "ringfence top"
    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit")]
    CSS = """
    #headline, #verdict { height: 1; }
    #balance { height: auto; }
    """

    def __init__(self, ask: Callable[[], Sample], *, interval_s: float) -> None:
        super().__init__()
        self._ask = ask
        self._interval_s = interval_s
        self._before: Sample | None = None

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="headline", markup=False)
        yield Static(id="verdict", markup=False)
        yield DataTable[Text](id="balance", cursor_type="none")
        yield DataTable[Text](id="counters", cursor_type="none")
        yield Footer()

    def on_mount(self) -> None:
        """Start asking."""
        for name in ("balance", "counters"):
            table = self.query_one(f"#{name}", DataTable)
            for heading in (name, "total", "per second"):
                table.add_column(Text(heading), key=heading)
        self.renew()
        self.set_interval(self._interval_s, self.renew)

    @work(thread=True, exclusive=True)
    def renew(self) -> None:
        """Ask once, off the screen's own thread."""
        try:
            sample = self._ask()
        except ControlError as error:
            self.call_from_thread(self._say, error.message)
            return
        self.call_from_thread(self._show, sample)

    def _say(self, message: str) -> None:
        self.query_one("#headline", Static).update(visible(message))

    def _show(self, now: Sample) -> None:
        before = now if self._before is None else self._before
        self._before = now
        self._say(headline(now))
        self.query_one("#verdict", Static).update(f"books: {verdict(now.books)}")
        self._fill("balance", balance_lines(before, now))
        self._fill("counters", counter_lines(before, now))

    def _fill(self, name: str, lines: tuple[Line, ...]) -> None:
        table = self.query_one(f"#{name}", DataTable)
        table.clear()
        for line in lines:
            table.add_row(
                Text(visible(line.name)),
                Text(f"{line.total:,}", justify="right"),
                Text(f"{line.per_s:,.0f}", justify="right"),
            )
