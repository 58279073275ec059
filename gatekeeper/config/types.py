"""The small grammars of config.yaml: durations, sizes, rates, networks. Used by ``config.model``."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal
from uuid import UUID

import limits
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from gatekeeper.config import forms
from gatekeeper.identity.emails import InvalidEmail, canonical_email
from policies.scopes import check_name

_DURATION = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"(?P<amount>\d+)\s*(?P<unit>B|KiB|MiB|GiB)?")
_BYTES = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_SHORT_RATE = re.compile(r"(?P<amount>\d{1,9})\s*/\s*(?P<multiples>\d{1,6})?\s*(?P<unit>[smhd])")
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}

MOST_WORKERS = 256
MOST_RATES = 4

Network = IPv4Network | IPv6Network


def parse_duration(value: Any) -> float:
    """``15m`` or ``30d`` as seconds. Raises ValueError."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration such as 10s, 15m, 12h or 30d is needed")
    seconds = float(match["amount"]) * _SECONDS[match["unit"]]
    if not 0 < seconds <= 10 * 365 * 86400:
        raise ValueError("a duration must be more than zero and at most ten years")
    return seconds


def say_duration(seconds: float) -> str:
    """Seconds as the shortest exact duration, the inverse of ``parse_duration``."""
    for unit in ("d", "h", "m", "s"):
        amount = seconds / _SECONDS[unit]
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{round(seconds * 1000)}ms"


def parse_size(value: Any) -> int:
    """``64KiB`` or a plain number as bytes. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a size such as 512, 64KiB, 10MiB or 1GiB is needed")
    return int(match["amount"]) * _BYTES[match["unit"]]


def say_size(size: int) -> str:
    """Bytes as the shortest exact size, the inverse of ``parse_size``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def parse_rate(value: Any) -> limits.RateLimitItem:
    """``100/minute`` or ``5/15minutes`` by the grammar of the limits library. Raises ValueError."""
    if isinstance(value, limits.RateLimitItem):
        return value
    try:
        text = value if isinstance(value, str) else ""
        short = _SHORT_RATE.fullmatch(text)
        if short is not None:
            text = f"{short['amount']}/{short['multiples'] or 1} {_UNITS[short['unit']]}"
        return limits.parse(text)
    except ValueError:
        raise ValueError("a rate such as 100/minute, 5/15minutes or 20/hour is needed") from None


def parse_rates(value: Any) -> tuple[limits.RateLimitItem, ...]:
    """One rate or several, separated by commas, of different windows. Raises ValueError."""
    if isinstance(value, tuple | list):
        return tuple(map(parse_rate, value))
    texts = value.split(",") if isinstance(value, str) else []
    if not 1 <= len(texts) <= MOST_RATES:
        raise ValueError(f"a rate such as 100/minute, or up to {MOST_RATES} such as 30/1m, 400/1h, is needed")
    return tuple(parse_rate(text.strip()) for text in texts)


def say_rates(rates: tuple[limits.RateLimitItem, ...]) -> str:
    """Rates in the form that config.yaml takes."""
    return ", ".join(map(say_rate, rates))


def say_rate(rate: limits.RateLimitItem) -> str:
    """A rate in the form that config.yaml takes."""
    unit = rate.GRANULARITY.name
    return f"{rate.amount}/{unit}" if rate.multiples == 1 else f"{rate.amount}/{rate.multiples}{unit}s"


def parse_network(value: Any) -> Network:
    """A CIDR network, or one address as a network of its own. Raises ValueError."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("a network in CIDR such as 10.0.0.0/8 or an address is needed") from None


def parse_workers(value: Any) -> int | str:
    """``auto`` or a number of processes. Raises ValueError."""
    text = str(value).strip()
    if text == "auto":
        return "auto"
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MOST_WORKERS:
        raise ValueError(f"auto or a number from 1 to {MOST_WORKERS} is needed")
    return int(text)


def parse_statuses(value: Any) -> str:
    """``204`` or ``200-399``, in their shortest form. Raises ValueError."""
    text = str(value).replace(" ", "")
    match = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", text)
    if match is None or isinstance(value, bool) or int(match[2] or match[1]) < int(match[1]):
        raise ValueError("a status such as 204 or a range such as 200-399 is needed")
    return text


def status_range(statuses: str) -> tuple[int, int]:
    """First and last of what ``parse_statuses`` has read."""
    low, _, high = statuses.partition("-")
    return int(low), int(high or low)


def parse_access_form(value: Any) -> Any:
    """YAML takes `off` for false, in some readers, and `true` is what one would write."""
    return {True: "auto", False: "off"}[value] if isinstance(value, bool) else value


def say_number(value: float) -> float | int:
    """2 rather than 2.0."""
    return int(value) if value == int(value) else value


def as_list(value: Any) -> Any:
    """One text as a list of one; everything else as it is."""
    return [value] if isinstance(value, str) else value


def parse_user(value: str) -> str:
    """An account by its e-mail, in canonical form, or by its id. Raises ValueError."""
    if "@" not in value:
        try:
            return str(UUID(value))
        except ValueError:
            raise ValueError("an e-mail or the id of an account (as `user list` shows it) is needed") from None
    try:
        return canonical_email(value)
    except InvalidEmail as fault:
        raise ValueError(f"this is no usable e-mail: it {fault}") from None


def _named(pattern: str, words: str) -> AfterValidator:
    expression = re.compile(pattern)

    def check(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _secret(check: Callable[[str], str]) -> AfterValidator:
    def check_hidden(value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    return AfterValidator(check_hidden)


def _as_text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


_TEXTS = {"type": "array", "items": {"type": "string"}}

Duration = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(say_duration), _as_text("15m")]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(say_size),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}], "examples": ["64KiB"]}),
]
#: A limits.RateLimitItem; pydantic cannot name the type.
Rate = Annotated[Any, BeforeValidator(parse_rate), PlainSerializer(say_rate), _as_text("100/minute")]
#: A tuple of them.
Rates = Annotated[Any, BeforeValidator(parse_rates), PlainSerializer(say_rates), _as_text("100/minute")]
LimitKey = Annotated[
    str,
    _named(
        r"address|user|session|key|rule|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}",
        "must be address, user, session, key, rule or header:NAME",
    ),
]
Cidr = Annotated[Any, BeforeValidator(parse_network), PlainSerializer(str), _as_text("10.0.0.0/8")]
Workers = Annotated[
    Any,
    BeforeValidator(parse_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}]}),
]
OneOrMore = Annotated[list[str], BeforeValidator(as_list), WithJsonSchema({"anyOf": [{"type": "string"}, _TEXTS]})]
RuleName = Annotated[
    str,
    _named(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name has 1 to 64 letters, digits, dots, dashes or underscores"),
]
UpstreamName = Annotated[
    str,
    _named(r"[a-z0-9][a-z0-9_-]{0,62}", "a name has 1 to 63 lower-case letters, digits, dashes or underscores"),
]
RoleName = Annotated[
    str,
    _named(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", "a role has 1 to 64 letters, digits and any of _ . : -"),
]
UserName = Annotated[str, AfterValidator(parse_user)]
ScopeName = Annotated[str, AfterValidator(check_name)]
AccessForm = Annotated[Literal["auto", "json", "text", "common", "combined", "off"], BeforeValidator(parse_access_form)]
PublicUrl = Annotated[str, AfterValidator(forms.check_public_url)]
Host = Annotated[str, AfterValidator(forms.check_host)]
Prefix = Annotated[str, AfterValidator(forms.check_prefix)]
Listen = Annotated[str, AfterValidator(forms.check_listen)]
Target = Annotated[str, AfterValidator(forms.check_target)]
HostField = Annotated[str, AfterValidator(forms.check_host_field)]
ServerName = Annotated[str, AfterValidator(forms.check_server_name)]
CheckPath = Annotated[str, AfterValidator(forms.check_path)]
Number = Annotated[float, PlainSerializer(say_number, return_type=float | int), WithJsonSchema({"type": "number"})]
Status = Annotated[int, Field(ge=400, le=599)]
Statuses = Annotated[
    str,
    BeforeValidator(parse_statuses),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}], "examples": ["200-399"]}),
]
PostgresUrl = Annotated[SecretStr, _secret(forms.check_postgres)]
RedisUrl = Annotated[SecretStr, _secret(forms.check_redis)]
MailAddress = Annotated[str, AfterValidator(forms.check_mail_address)]
WebhookUrl = Annotated[str, AfterValidator(forms.check_called_url)]
RangeUrl = Annotated[str, AfterValidator(forms.check_range_url)]
EventName = Annotated[
    str,
    _named(
        r"\*|[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*(?:\.\*)?",
        "an event is named such as otp, password-reset, login.failure or user.lock; login.* are all under a name",
    ),
]
SyslogAddress = Annotated[str, AfterValidator(forms.check_syslog)]
LongSecret = Annotated[SecretStr, _secret(forms.check_secret)]
