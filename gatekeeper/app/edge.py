"""What handles requests, built over the parts of a worker. Called by ``gatekeeper.app.build``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from admin.app import Panel
from gatekeeper.app.api_keys import key_service
from gatekeeper.app.logins import Logins, build_logins, factor_endpoints
from gatekeeper.app.mail import MailServices, Post, build_mail_services, mail_endpoints, notices_of
from gatekeeper.app.pages import build_pages, build_theme
from gatekeeper.app.panel import build_panel
from gatekeeper.app.parts import Running, Stores, TokenParts
from gatekeeper.app.tokens import token_endpoints
from gatekeeper.config.model import Config
from gatekeeper.config.rules import RuleLimit
from gatekeeper.doors import networks
from gatekeeper.gate import Gate
from gatekeeper.health import Check, Health
from gatekeeper.identity.api_key_endpoints import ApiKeyEndpoints
from gatekeeper.identity.endpoints import Identity, IdentitySettings
from gatekeeper.identity.factor_endpoints import FactorEndpoints
from gatekeeper.identity.fingerprints import Fingerprints
from gatekeeper.identity.limits import LimitsCounter
from gatekeeper.identity.mail_endpoints import MailEndpoints
from gatekeeper.identity.second_endpoints import SecondEndpoints
from gatekeeper.identity.token_endpoints import TokenEndpoints
from gatekeeper.inbound import HostList, RequestReader, TrustedProxies
from gatekeeper.observe.access import AccessLog
from gatekeeper.pages.refusals import ForPeople
from gatekeeper.pages.theme import Theme
from gatekeeper.pages.views import Pages
from gatekeeper.pools import readiness
from gatekeeper.surfaces.asked import ByEnvoy, by_forward, by_nginx
from gatekeeper.surfaces.cors import ApiCors
from gatekeeper.surfaces.entrance import Entrance
from gatekeeper.surfaces.express import Express
from gatekeeper.surfaces.identity_headers import IdentityHeaders
from gatekeeper.surfaces.proxy import Proxy, ProxySettings
from gatekeeper.surfaces.refusal import PagesElsewhere
from gatekeeper.surfaces.remaining import Remaining
from gatekeeper.surfaces.verify import ForwardRefusals, NginxRefusals, Verify
from gatekeeper.tokens.assertion import Assertions
from gatekeeper.tokens.keyring import derive
from policies.cors import Cors, parse_origins
from policies.load import compile_limit
from policies.rates import Limit
from policies.read import METHODS


def _identity(config: Config, tokens: TokenParts, running: Running, logins: Logins, services: MailServices) -> Identity:
    stores = running.stores
    return Identity(
        settings=IdentitySettings(
            refresh_per_session=running.rates.refresh_per_session,
            json_limit=config.sizes.json_body,
        ),
        accounts=logins.accounts,
        passwords=running.passwords,
        login=logins.login,
        sessions=tokens.sessions,
        authenticator=tokens.authenticator,
        cookies=tokens.cookies,
        known=tokens.devices,
        bans=running.bans.bans,
        refresh_tokens=tokens.refresh,
        counter=LimitsCounter(stores.redis.limits_storage),
        keys=tokens.ring,
        places=running.places,
        fingerprints=Fingerprints(derive(running.secret, "client-fingerprints"), config.geo.tls_header),
        watch=logins.watch,
        audit=stores.journal,
        notices=logins.notices,
    )


@dataclass(frozen=True, slots=True)
class Verifies:
    """The verify endpoints: by their only target, and Envoy's, which has the asked path behind it."""

    of_one_target: Mapping[str, Verify]
    envoy: Verify

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Any method."""
        routes = [web.route("*", target, verify.handle) for target, verify in self.of_one_target.items()]
        return [*routes, web.route("*", f"{prefix}/verify/envoy/{{path:.*}}", self.envoy.handle)]


def _verifies(
    config: Config, gate: Gate, identity: IdentityHeaders, trusted: TrustedProxies, hosts: HostList
) -> Verifies:
    pages = PagesElsewhere(hosts, prefix=config.prefix, public_url=config.public_url)
    nginx, forward, remaining = NginxRefusals(pages), ForwardRefusals(pages), Remaining()
    endpoint = f"{config.prefix}/verify"
    return Verifies(
        {
            endpoint: Verify(gate, identity, trusted, by_nginx, nginx),
            f"{endpoint}/forward": Verify(gate, identity, trusted, by_forward, forward, remaining),
        },
        Verify(gate, identity, trusted, ByEnvoy(f"{endpoint}/envoy"), forward, remaining),
    )


@dataclass(frozen=True, slots=True)
class Edge:
    """What handles requests."""

    gate: Gate
    identity: Identity
    mail: MailEndpoints
    second: SecondEndpoints
    factors: FactorEndpoints
    api_keys: ApiKeyEndpoints
    tokens: TokenEndpoints
    pages: Pages
    panel: Panel
    proxy: Proxy
    verify: Verifies
    entrance: Entrance
    panel_entrance: Entrance | None
    express: Express
    health: Health
    theme: Theme
    trusted: TrustedProxies
    cors: ApiCors


def address_limit(config: Config) -> Limit:
    """``limits.default``."""
    return compile_limit("default", RuleLimit(rate=config.limits.default))


def api_cors(config: Config) -> Cors | None:
    """``cors``; None: no other origin may call the API."""
    if not config.cors.origins:
        return None
    origins, below, every = parse_origins(config.cors.origins)
    return Cors(origins, below, every, frozenset(METHODS), expose=("X-Gate-Reason", "Retry-After"))


def _gate(config: Config, tokens: TokenParts, running: Running, hosts: HostList) -> Gate:
    return Gate(
        running.rules,
        hosts,
        tokens.authenticator,
        running.stores.live,
        tokens.cookies,
        address_limit(config),
        running.bans.door,
        foreign=tokens.foreign,
        on_store_lost=partial(running.metrics.store_error, "redis"),
    )


def _api_keys(config: Config, stores: Stores, identity: Identity, logins: Logins) -> ApiKeyEndpoints:
    service = key_service(config, stores.api_keys, stores.live, stores.journal)
    return ApiKeyEndpoints(identity, service, logins.step_ups, logins.notices, json_limit=config.sizes.json_body)


def _health(running: Running) -> Health:
    checks: dict[str, Check] = {"redis": running.redis_answers, "postgres": running.postgres_answers}
    return Health({**checks, "bans": running.bans.follower.ready, **readiness(running.upstreams)})


def _entering(
    config: Config, running: Running, reader: RequestReader, access: AccessLog | None, theme: Theme
) -> Callable[[HostList], Entrance]:
    """Makes the entrance of listeners that serve these hosts."""
    return partial(
        Entrance,
        reader,
        door=running.bans.door,
        access=access,
        metrics=running.metrics,
        prefix=config.prefix,
        for_people=ForPeople(theme),
    )


def build_edge(
    config: Config, stores: Stores, tokens: TokenParts, running: Running, access: AccessLog | None, post: Post
) -> Edge:
    """Everything between a socket and the services."""
    hosts = HostList(config.public_url, config.hosts)
    trusted = TrustedProxies(networks(config))
    gate = _gate(config, tokens, running, hosts)
    headers = IdentityHeaders(Assertions(tokens.ring, config.public_url), running.places)
    logins = build_logins(config, tokens, running, notices_of(config, post))
    services = build_mail_services(config, running, logins, post)
    identity = _identity(config, tokens, running, logins, services)
    tokens.authenticator.on_renewal = identity.renewed
    second, factors = factor_endpoints(config, tokens, identity, logins)
    api_keys = _api_keys(config, stores, identity, logins)
    theme = build_theme(config)
    reader = RequestReader(trusted, running.clock, scheme=urlsplit(config.public_url).scheme)
    settings = ProxySettings(config.prefix, config.sizes.body)
    health = _health(running)
    proxy = Proxy(gate, running.upstreams, headers, settings, running.metrics, running.live)
    verify = _verifies(config, gate, headers, trusted, hosts)
    enter = _entering(config, running, reader, access, theme)
    entrance = enter(hosts)
    return Edge(
        gate=gate,
        identity=identity,
        mail=mail_endpoints(config, identity, services),
        second=second,
        factors=factors,
        api_keys=api_keys,
        tokens=token_endpoints(config, tokens, running),
        pages=build_pages(config, tokens, running, theme, identity, logins, services, api_keys),
        panel=build_panel(config, tokens, running, logins, services, theme, gate, health),
        proxy=proxy,
        verify=verify,
        entrance=entrance,
        panel_entrance=None if config.panel_listener is None else enter(HostList(config.panel_url)),
        express=Express(
            reader, gate, proxy, verify.of_one_target, entrance, running.live, running.metrics, prefix=config.prefix
        ),
        health=health,
        theme=theme,
        trusted=trusted,
        cors=ApiCors(api_cors(config), config.prefix),
    )
