"""The rules in force with how often each decided, as lists and charts. Used by ``admin.views.rules``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from admin.charts import Chart, Share, shares, stacked
from admin.rule_words import Words, asking, doing, matching
from gatekeeper.errors import StoreUnavailable
from gatekeeper.identity.user_desk import invalid
from gatekeeper.journal.questions import Count
from gatekeeper.observe.rule_hits import HitReader, Hits, Ruling
from policies.model import Reason
from policies.rules import Rule, RuleBook

NOBODYS: Final = ""  # the rule of decisions that none made
_HOUR: Final = 3600.0
#: What a verdict is called where people count them.
OUTCOMES: Final = {"allow": "allowed", "login": "asked", "step_up": "asked", "deny": "refused"}
_OUTCOMES: Final = list(dict.fromkeys(OUTCOMES.values()))


@dataclass(frozen=True, slots=True)
class Back:
    """How far back hits are counted: ``bars`` of ``step`` seconds."""

    step: float
    bars: int

    def since(self, now: float) -> float:
        """The beginning of the first bar, in Unix seconds."""
        return (now // self.step - self.bars + 1) * self.step


RANGES: Final = {"24h": Back(_HOUR, 24), "7d": Back(6 * _HOUR, 28), "30d": Back(24 * _HOUR, 30)}


@dataclass(slots=True)
class Tally:
    """How often a rule let through, asked for a login or step-up, and refused; why; and when it last did anything.

    Of a rule that only reports it is what it would have done. ``over`` counts requests over a limit that only reports.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    over: int = 0
    last_at: float | None = None

    @property
    def total(self) -> int:
        """All of them."""
        return self.outcomes.total()

    def add(self, hits: Hits) -> None:
        """One kind of hit."""
        self.last_at = max(self.last_at or 0.0, hits.last_at)
        self.outcomes[OUTCOMES[hits.ruling.verdict]] += hits.count
        if hits.ruling.reason and hits.count:
            self.reasons[hits.ruling.reason] += hits.count


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule in words; ``number`` counts from 1 in the order in which rules are tried. ``tally`` is None where nobody
    knows.
    """

    number: int
    rule: Rule
    matching: Sequence[Words]
    asking: Sequence[Words]
    doing: Sequence[Words]
    tally: Tally | None


@dataclass(frozen=True, slots=True)
class Table:
    """A page of the rules that were asked for; ``found`` counts these, ``all`` every rule; ``following`` is where the
    next page begins. ``nobodys`` counts by reason what no rule decided.
    """

    rules: Sequence[Listed]
    found: int
    all: int
    following: int | None
    nobodys: Mapping[str, int] | None

    @property
    def unmatched(self) -> int | None:
        """Requests that no rule matched."""
        return None if self.nobodys is None else self.nobodys.get(Reason.NO_RULE, 0)


def range_of(query: Mapping[str, str]) -> str:
    """The ``range`` of a query. Raises Problem (422)."""
    name = query.get("range", "24h")
    if name not in RANGES:
        raise invalid("range", f"The range is one of {', '.join(RANGES)}.")
    return name


class RuleTable:
    """``rules`` gives those in force; ``write`` brings this worker's counts to where ``hits`` reads them."""

    def __init__(self, rules: Callable[[], RuleBook], hits: HitReader, write: Callable[[], Awaitable[None]]) -> None:
        self._rules = rules
        self._hits = hits
        self._write = write

    async def page(self, wanted: str, span: str, now: float, *, count: int, after: int) -> Table:
        """Rules in whose words ``wanted`` occurs (all, if empty), behind the rule of that number, with their hits."""
        book = self._rules()
        found = [rule for rule in book.rules if _mentions(rule, wanted.lower())]
        rest = [rule for rule in found if rule.position >= after]
        shown = rest[:count]
        tallies = await self._tallies(shown, RANGES[span].since(now))
        return Table(
            [_listed(rule, None if tallies is None else tallies[rule.name]) for rule in shown],
            len(found),
            len(book),
            shown[-1].position + 1 if len(rest) > count else None,
            None if tallies is None else tallies[NOBODYS].reasons,
        )

    async def one(self, name: str, span: str, now: float) -> tuple[Listed, Chart | None, Sequence[Share]] | None:
        """A rule by its name, its hits over time, and why it refused. None: there is no such rule."""
        rule = next((rule for rule in self._rules().rules if rule.name == name), None)
        if rule is None:
            return None
        back = RANGES[span]
        tallies = await self._tallies([rule], back.since(now))
        if tallies is None:
            return _listed(rule, None), None, ()
        tally = tallies[name]
        chart = await self._chart(rule, back, now)
        return _listed(rule, tally), chart, shares(tally.reasons)

    async def _chart(self, rule: Rule, back: Back, now: float) -> Chart | None:
        since = back.since(now)
        try:
            hours = await self._hits.hours(rule.name, since)
        except StoreUnavailable:
            return None
        counts = [
            Count(hour.start, (OUTCOMES[hour.ruling.verdict],), hour.count, 0)
            for hour in hours
            if hour.ruling.reported == rule.report_only
        ]
        return stacked(counts, _OUTCOMES, since=since, step=back.step, bars=back.bars)

    async def _tallies(self, rules: Sequence[Rule], since: float) -> Mapping[str, Tally] | None:
        """By the rule's name, and of what no rule decided. None while PostgreSQL is away: rules are shown without."""
        await self._write()
        try:
            found = await self._hits.totals([*(rule.name for rule in rules), NOBODYS], since)
        except StoreUnavailable:
            return None
        return _tallied(found, {rule.name for rule in rules if rule.report_only})


def _tallied(found: Iterable[Hits], on_trial: set[str]) -> Mapping[str, Tally]:
    """What a rule on trial decided before it was on trial is not what it would do, nor the other way round."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for hits in found:
        tally = tallies[hits.ruling.rule]
        if hits.ruling.reported == (hits.ruling.rule in on_trial):
            tally.add(hits)
        elif _over_limit(hits.ruling):
            tally.over += hits.count
    return tallies


def _over_limit(ruling: Ruling) -> bool:
    return ruling.reported and ruling.reason == Reason.RATE_LIMITED


def _listed(rule: Rule, tally: Tally | None) -> Listed:
    return Listed(rule.position + 1, rule, matching(rule), asking(rule), doing(rule), tally)


def _mentions(rule: Rule, wanted: str) -> bool:
    if not wanted or wanted in rule.name.lower():
        return True
    return any(wanted in words.text.lower() for words in (*matching(rule), *asking(rule), *doing(rule)))
