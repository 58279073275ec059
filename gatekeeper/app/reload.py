"""Another configuration in a running worker: built beside the old one, then put in its place between two requests.

Called by ``gatekeeper.worker`` through ``Gatekeeper.reload``. A request that was decided by the old rules ends by
them; so do open streams and tunnels.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatekeeper.app.bans import reload_bans
from gatekeeper.app.edge import Edge, address_limit, api_cors
from gatekeeper.app.parts import Running
from gatekeeper.app.reload_notes import ReloadNotes
from gatekeeper.config.model import Config
from gatekeeper.observe.logging import set_level
from gatekeeper.pools import readiness
from geo.lookup import PlaceFinder
from policies.load import compile_rules
from policies.rules import RuleBook


@dataclass(slots=True)
class Reloader:
    """Puts configurations in force in one worker."""

    running: Running
    edge: Edge
    notes: ReloadNotes

    def apply(self, config: Config) -> None:
        """All or nothing, without a pause in between. Raises StartupError for what cannot be used here."""
        running, edge = self.running, self.edge
        rules, limit, cors = rule_book(config, running.places), address_limit(config), api_cors(config)
        upstreams = running.upstreams.prepare(config)
        running.upstreams.adopt(upstreams)
        edge.gate.reload(rules, limit)
        edge.proxy.reload()
        edge.cors.reload(cors)
        running.rates.reload(config)
        reload_bans(config, running.bans, running.live)
        edge.health.replace("upstream:", readiness({name: running.upstreams[name] for name in config.upstreams}))
        set_level(config.logs.level)
        running.metrics.reloaded(good=True, now=running.clock.now())
        running.reloads.note(good=True, now=running.clock.now())
        running.reloads.config = config
        self.notes.note(config)

    def refused(self) -> None:
        """The supervisor has found a configuration that is no good."""
        self.running.metrics.reloaded(good=False, now=self.running.clock.now())
        self.running.reloads.note(good=False, now=self.running.clock.now())


def rule_book(config: Config, places: PlaceFinder) -> RuleBook:
    """The rules of a configuration that holds."""
    return compile_rules(
        config.rules,
        list(config.upstreams),
        prefix=config.prefix,
        mfa_roles=config.mfa.require_for_roles,
        country_of=places.country,
        https=config.public_url.startswith("https:"),
    )
