"""What bans are made of in one worker. Called by ``gatekeeper.app.build``."""

from __future__ import annotations

from gatekeeper.app.parts import BanParts, Stores
from gatekeeper.bans.door import Door
from gatekeeper.bans.follow import BanFollower
from gatekeeper.bans.strikes import StrikeRules, Strikes
from gatekeeper.clock import Clock
from gatekeeper.config.model import Config
from gatekeeper.live import LiveConnections
from gatekeeper.observe.metrics import Metrics
from gatekeeper.store.ban_words import RedisBanWords, RedisStrikes
from gatekeeper.store.bans import PostgresBans
from policies.ban_list import BanList
from policies.bans import Ban, Penalty, Source
from policies.globs import Glob, parse_glob
from policies.strikes import Threshold


def strike_rules(config: Config) -> StrikeRules:
    """What the configuration counts."""
    bans = config.bans
    thresholds = {Source.HONEYPOT: Threshold(1, bans.within)}
    if bans.after is not None:
        thresholds |= {source: Threshold(bans.after, bans.within) for source in (Source.FAILURES, Source.OTP)}
    if bans.spray is not None:
        thresholds[Source.SPRAY] = Threshold(bans.spray.accounts, bans.spray.within)
    if bans.limited is not None:
        thresholds[Source.LIMITS] = Threshold(bans.limited, bans.within)
    return StrikeRules(thresholds, Penalty(bans.length, bans.growth, bans.max), tuple(config.trusted_proxies))


def ban_parts(
    config: Config, stores: Stores, bans: BanList, live: LiveConnections, metrics: Metrics, clock: Clock
) -> BanParts:
    """Over stores that need not be open yet."""
    words = RedisBanWords(stores.redis)
    store = PostgresBans(stores.postgres, words.tell)

    def made(ban: Ban) -> None:
        metrics.ban(ban.source)
        live.end_banned()

    strikes = Strikes(
        strike_rules(config),
        RedisStrikes(stores.redis),
        store,
        words,
        bans,
        stores.journal,
        on_ban=made,
        on_store_lost=metrics.store_error,
    )
    follower = BanFollower(
        store,
        words,
        bans,
        clock,
        on_change=live.end_banned,
        before_look=strikes.write_late,
        on_store_lost=metrics.store_error,
    )
    metrics.bans_active = lambda: len(bans)
    return BanParts(bans, strikes, follower, Door(bans, strikes, _honeypots(config)))


def reload_bans(config: Config, parts: BanParts, live: LiveConnections) -> None:
    """Other ``bans``, from the next request on; open connections that are not allowed any more end."""
    parts.strikes.reload(strike_rules(config))
    parts.door.reload(_honeypots(config))
    parts.bans.allow(config.bans.allow)
    live.end_banned()


def _honeypots(config: Config) -> list[Glob]:
    return [parse_glob(text) for text in config.bans.honeypots]
