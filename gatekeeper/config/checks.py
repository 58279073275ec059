"""What single values cannot tell: keys that contradict each other, rules that can never decide.

Called by ``config.load`` once every value by itself is good. Each check yields key path and message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from urllib.parse import urlsplit

from gatekeeper.config.forms import is_every_address, is_loopback, listen_place, target_place
from gatekeeper.config.model import Config
from gatekeeper.config.paths import KeyPath
from gatekeeper.config.rules import AllowSubjects, RuleLimit
from gatekeeper.config.types import say_duration, say_size
from gatekeeper.config.upstreams import Upstream
from gatekeeper.events.names import fault_of_pattern
from gatekeeper.notify.messages import Kind
from policies.cors import parse_origins
from policies.load import BadRules, compile_limit, compile_rules
from policies.rules import RuleBook

Mistake = tuple[KeyPath, str]

_SMALLEST_HEAD = 1 << 10
_HOUR = 3600.0  # seconds


def contradictions(config: Config) -> Iterator[Mistake]:
    """Mistakes between keys other than the rules."""
    checks = (
        _factors,
        _lives,
        _sizes,
        _doubled,
        _listeners,
        _panel,
        _loops,
        _upstreams,
        _unverified,
        _api_cors,
        _default_limit,
        _messages,
        _issuers,
    )
    return chain.from_iterable(check(config) for check in checks)


def check_rules(config: Config, lines: Sequence[int | None] = ()) -> tuple[RuleBook | None, Iterable[Mistake]]:
    """The compiled rules, or None and what is wrong with them."""
    try:
        book = compile_rules(
            config.rules,
            config.upstreams,
            prefix=config.prefix,
            lines=lines,
            mfa_roles=config.mfa.require_for_roles,
            https=config.public_url.startswith("https:"),
        )
    except BadRules as bad:
        return None, [(("rules", fault.position, fault.key), fault.message) for fault in bad.faults]
    return book, ()


def _unverified(config: Config) -> Iterator[Mistake]:
    """Rules about e-mails, of which only verified ones count, where none ever is."""
    if not config.open_registration or config.registration.verify_email:
        return
    for position, rule in enumerate(config.rules):
        allow = rule.allow if isinstance(rule.allow, list) else [rule.allow]
        if any(isinstance(choice, AllowSubjects) and choice.asks_for_email for choice in allow):
            words = "asks for verified e-mails, but registration is open and verifies none; verify them or close it"
            yield ("rules", position, "allow"), words


def _issuers(config: Config) -> Iterator[Mistake]:
    """Whose token it is must be plain from ``iss``."""
    seen = {config.public_url}
    for index, accepted in enumerate(config.tokens.accept):
        place = ("tokens", "accept", index)
        if accepted.issuer in seen:
            yield (*place, "issuer"), "is the gate itself (public_url), or stands above already"
        seen.add(accepted.issuer)
        if accepted.jwks.startswith("http:") and not config.notify.allow_private:
            yield (*place, "jwks"), "must be https, or reach a network of notify.allow_private"


def _default_limit(config: Config) -> Iterator[Mistake]:
    try:
        compile_limit("default", RuleLimit(rate=config.limits.default))
    except ValueError as problem:
        yield ("limits", "default"), str(problem)


def _api_cors(config: Config) -> Iterator[Mistake]:
    try:
        parse_origins(config.cors.origins)
    except ValueError as problem:
        yield ("cors", "origins"), str(problem)


def _factors(config: Config) -> Iterator[Mistake]:
    mfa = config.mfa
    if mfa.require_for_roles and not {"totp", "passkey"}.intersection(mfa.methods):
        yield ("mfa", "methods"), "needs totp or passkey, which those of mfa.require_for_roles could add"


def _lives(config: Config) -> Iterator[Mistake]:
    tokens = config.tokens
    longest = say_duration(tokens.refresh_ttl)
    if tokens.access_ttl >= tokens.refresh_ttl:
        yield ("tokens", "access_ttl"), f"must be shorter than tokens.refresh_ttl ({longest})"
    if tokens.idle_ttl > tokens.refresh_ttl:
        yield ("tokens", "idle_ttl"), f"must not be longer than tokens.refresh_ttl ({longest})"
    if tokens.refresh_reuse_window >= tokens.refresh_ttl:
        yield ("tokens", "refresh_reuse_window"), f"must be shorter than tokens.refresh_ttl ({longest})"


def _sizes(config: Config) -> Iterator[Mistake]:
    for name, size in (("head", config.sizes.head), ("json", config.sizes.json_body)):
        if size < _SMALLEST_HEAD:
            yield ("sizes", name), "must be at least 1KiB"
    for position, rule in enumerate(config.rules):
        if rule.body is not None and rule.body > config.sizes.body:
            yield (
                ("rules", position, "body"),
                f"is more than sizes.body ({say_size(config.sizes.body)}): raise that first",
            )


def _doubled(config: Config) -> Iterator[Mistake]:
    listening = [one.address for one in config.listeners]
    lists: list[tuple[KeyPath, Sequence[str]]] = [(("listen",), listening), (("hosts",), config.hosts)]
    lists += [(("mfa", "methods"), config.mfa.methods), (("mfa", "require_for_roles"), config.mfa.require_for_roles)]
    lists += [(("upstreams", name, "targets"), upstream.addresses) for name, upstream in config.upstreams.items()]
    for path, values in lists:
        for index, value in enumerate(values):
            if value in values[:index]:
                yield (*path, index), f"{value} stands in this list twice"


def _loops(config: Config) -> Iterator[Mistake]:
    """An upstream that is the gate itself would forward a request round and round."""
    listening = [listen_place(one.address) for one in (*config.listeners, config.panel_listener) if one is not None]
    for name, upstream in config.upstreams.items():
        for index, target in enumerate(upstream.addresses):
            place = target_place(target)
            if place is not None and any(_same_place(place, other) for other in listening):
                yield ("upstreams", name, "targets", index), f"{target} is where the gate itself listens"


def _listeners(config: Config) -> Iterator[Mistake]:
    """TLS needs a certificate and the other way round; the Proxy Protocol needs somebody to believe."""
    ways, tls = config.listeners, config.tls
    for index, one in enumerate(ways):
        if one.tls and tls.cert is None:
            yield ("listen", index, "tls"), "needs a certificate: set tls.cert"
        if one.tls and not config.public_url.startswith("https:"):
            yield ("listen", index, "tls"), "needs a public_url with https://, which is how clients come in here"
        if one.proxy_protocol and not config.trusted_proxies:
            yield ("listen", index, "proxy_protocol"), "needs trusted_proxies: it is believed from nobody else"
    panel = config.panel_listener
    used = any(one.tls for one in ways) or (panel is not None and panel.tls)
    if not used and tls.model_dump(exclude_defaults=True):
        yield ("tls",), f"nothing uses it: write listen: [{{address: {ways[0].address}, tls: true}}]"


def _panel(config: Config) -> Iterator[Mistake]:
    """A listener of its own: another address, known by another origin, of the same scheme, which cookies follow."""
    one, url, place = config.panel_listener, config.admin.public_url, ("admin", "listen")
    if one is None:
        if url is not None:
            yield ("admin", "public_url"), "is for admin.listen, which is not set"
        return
    if one.tls and config.tls.cert is None:
        yield (*place, "tls"), "needs a certificate: set tls.cert"
    if one.proxy_protocol and not config.trusted_proxies:
        yield (*place, "proxy_protocol"), "needs trusted_proxies: it is believed from nobody else"
    others = [*(other.address for other in config.listeners), config.internal_listen]
    if one.address in others:
        yield place, f"{one.address} is listened on already; the panel needs an address of its own"
        return
    if url is None and is_every_address(one.address):
        yield place, "stands for every address of this machine: say in admin.public_url which one admins use"
        return
    key = place if url is None else ("admin", "public_url")
    scheme, wanted = config.panel_url.partition(":")[0], config.public_url.partition(":")[0]
    if scheme != wanted:
        how = f"set admin.public_url to {wanted}://..., or tls: true here" if url is None else f"write {wanted}://..."
        yield key, f"{config.panel_url} is {scheme} and public_url {wanted}, which cookies follow: {how}"
    elif scheme == "http" and not is_loopback(urlsplit(config.panel_url).hostname or ""):
        yield key, "http is only for loopback: set tls: true, or admin.public_url to https://..."
    elif config.panel_url == config.public_url:
        yield key, "is public_url itself; the panel needs an origin of its own"


def _upstreams(config: Config) -> Iterator[Mistake]:
    for name, upstream in config.upstreams.items():
        for path, message in chain(_health(upstream), _tls(upstream)):
            yield ("upstreams", name, *path), message


def _messages(config: Config) -> Iterator[Mistake]:
    mail, webhooks = config.mail, config.notify.webhooks
    if mail.smtp.host is None and "smtp" in config.otp.deliver:
        yield ("otp", "deliver"), "smtp needs a server: set mail.smtp.host and mail.from"
    if mail.smtp.host is not None and mail.from_address is None:
        yield ("mail", "from"), "is needed with mail.smtp.host"
    if (mail.smtp.user is None) != (mail.smtp.password is None):
        yield ("mail", "smtp", "user" if mail.smtp.user is None else "password"), "is needed beside the other"
    if mail.smtp.ca is not None and mail.smtp.tls == "none":
        yield ("mail", "smtp", "ca"), "contradicts tls: none"
    if "webhook" in config.otp.deliver and not any("otp" in webhook.events for webhook in webhooks):
        yield ("otp", "deliver"), "webhook needs a receiver: one of notify.webhooks with `otp` in its events"
    for index, webhook in enumerate(webhooks):
        yield from _event_names(("notify", "webhooks", index), webhook.events, also=frozenset(Kind))
        if not webhook.url.startswith("https:") and not config.notify.allow_private:
            yield ("notify", "webhooks", index, "url"), "must be https, or reach a network of notify.allow_private"
    digest = config.notify.digest
    if digest.to and mail.smtp.host is None:
        yield ("notify", "digest", "to"), "needs a server: set mail.smtp.host and mail.from"
    if digest.every < _HOUR or digest.every % _HOUR:
        yield ("notify", "digest", "every"), "must be whole hours, such as 24h or 7d"
    yield from _event_names(("notify", "lines"), config.notify.lines.events)
    yield from _event_names(("notify", "syslog"), config.notify.syslog.events)
    if config.notify.syslog.ca is not None and not (config.notify.syslog.address or "").startswith("tls:"):
        yield ("notify", "syslog", "ca"), "needs an address that begins with tls:"


def _event_names(
    path: tuple[str | int, ...], events: list[str], also: frozenset[str] = frozenset()
) -> Iterator[Mistake]:
    for place, name in enumerate(events):
        if name not in also and (fault := fault_of_pattern(name)):
            more = f", {', '.join(also)}" if also else ""
            yield (*path, "events", place), f"{fault}{more}"


def _health(upstream: Upstream) -> Iterator[Mistake]:
    health, ejection = upstream.health, upstream.ejection
    if health.path is None and health.model_dump(exclude_defaults=True):
        yield ("health",), "needs a path: without one nothing is checked"
    if health.timeout > health.every:
        yield ("health", "timeout"), f"must not be longer than every ({say_duration(health.every)})"
    if ejection.length > ejection.max:
        yield ("ejection", "for"), f"must not be longer than max ({say_duration(ejection.max)})"


def _tls(upstream: Upstream) -> Iterator[Mistake]:
    tls = upstream.tls
    if tls.key is not None and tls.cert is None:
        yield ("tls", "key"), "needs a certificate: set cert"
    if tls.ca is not None and not tls.verify:
        yield ("tls", "ca"), "contradicts verify: false, which believes any certificate"
    given = tls.model_dump(exclude_defaults=True)
    if given and not any(address.startswith("https:") for address in upstream.addresses):
        yield ("tls",), "none of the targets is https://"


def _same_place(target: tuple[str, int], listening: tuple[str, int]) -> bool:
    if target[1] != listening[1] or not is_loopback(target[0]):
        return target == listening
    return listening[0] in {target[0], "0.0.0.0", "::", "localhost"}  # noqa: S104  # compared, not bound
