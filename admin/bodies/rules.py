"""Rules: those in force with their hits, what they say of a request, and a configuration on trial."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from admin.bodies.common import After, Body, NextNumber, Query, Time
from admin.bodies.logins import Moment, Text, WantedCountry
from policies.model import Reason

Age = Annotated[str, Field(description="A duration", examples=["5m"])]


class RuleQuery(Query):
    """How far back hits are counted: a day, unless another range is given."""

    range: Annotated[Literal["24h", "7d", "30d"], Field(description="How far back, until now")] | None = None


class RulesPage(RuleQuery):
    """Rules in whose words ``find`` occurs."""

    find: Annotated[Text, Field(description="A part of a name, or of what a rule says")] | None = None
    after: After = None


class Words(TypedDict):
    """One property of a rule: its key in the configuration, and what it says."""

    key: str
    value: str


class Hits(TypedDict):
    """How often a rule let through, asked for a login or more, and refused."""

    allowed: int
    asked: int
    refused: int


class Rule(TypedDict):
    """A rule; ``number`` counts from 1. Hits are null while nobody knows them."""

    number: int
    name: str
    report_only: bool
    matches: list[Words]
    admits: list[Words]
    does: list[Words]
    hits: Hits | None
    over_limit: int | None
    reasons: dict[str, int] | None
    last_hit: Time | None


class Rules(TypedDict):
    """A page of rules in the order in which they are tried; ``no_rule`` counts requests that none matched."""

    rules: list[Rule]
    next: NextNumber
    no_rule: int | None


class RuleBar(Hits):
    """Hits of a part of the range."""

    since: Time
    until: Time


class OneRule(TypedDict):
    """A rule with its hits over time, null while nobody knows them."""

    rule: Rule
    range: str
    bars: list[RuleBar] | None


class ExplainQuery(Query):
    """A request, and who makes it."""

    url: Annotated[Text, Field(description="http(s)://host/path or /path", examples=["/reports/2026"])]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] | None = None
    user: Annotated[Text, Field(description="An account's e-mail")] | None = None
    roles: Annotated[Text, Field(description="With blanks or commas between them")] | None = None
    scopes: Annotated[Text, Field(description="Of an API key, with commas between them")] | None = None
    header: Annotated[Text, Field(description="One line of the head", examples=["X-Env: test"])] | None = None
    address: Annotated[Text, Field(examples=["192.0.2.7"])] | None = None
    country: WantedCountry | None = None
    mfa_age: Annotated[Age, Field(description="Since two factors were shown")] | None = None
    auth_age: Annotated[Age, Field(description="Since the login")] | None = None
    at: Moment | None = None


class Tried(TypedDict):
    """What one rule makes of it."""

    rule: str
    outcome: str
    why: str


class Explanation(TypedDict):
    """What the gate would do, and which rule decides."""

    allowed: bool
    status: int | None
    reason: Reason | None
    why: str
    caller: str
    understood: str | None
    rules: list[Tried]


class TrialBody(Body):
    """A whole configuration, as the file would hold it."""

    text: Annotated[str, Field(examples=["listen: [127.0.0.1:8080]"])]


class Mistake(TypedDict):
    """What is wrong, with the key and the line."""

    key: str
    line: int | None
    detail: str


class RuleChanges(TypedDict):
    """What would become of the rules, by their names."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    reordered: bool


class Trial(TypedDict):
    """With ``faults`` nothing would change; else ``changed`` keys at once, and ``restart`` those after a restart."""

    good: bool
    faults: list[Mistake]
    warnings: list[Mistake]
    changed: list[str]
    restart: list[str]
    rules: RuleChanges
