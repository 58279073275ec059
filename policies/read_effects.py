"""What a rule does, from words to ``policies.effects``. Called by ``policies.load``; mistakes go to ``fault``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.cors import Cors, parse_origins
from policies.effects import Effects, FieldChanges, Lines, Rewrite
from policies.fields import canonical_field, check_name, check_token, check_value
from policies.globs import ANY_DEPTH, Glob, parse_glob
from policies.read import METHODS, Fault, tried
from policies.rules import Access, PathPattern
from policies.sources import ChangesSource, CorsSource, RewriteSource, RuleSource

#: What pages of an application should come with, whatever it is; an answer that says otherwise keeps its word.
SECURE: Final[Lines] = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"SAMEORIGIN"),
    (b"Referrer-Policy", b"strict-origin-when-cross-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin-allow-popups"),
    (b"Permissions-Policy", b"camera=(), microphone=(), geolocation=()"),
)
HSTS: Final = (b"Strict-Transport-Security", b"max-age=31536000")


def read_effects(
    source: RuleSource, paths: Sequence[PathPattern], access: Access, fault: Fault, *, https: bool
) -> Effects | None:
    """All of them; None where there are none."""
    lacking = (*SECURE, *((HSTS,) if https else ())) if source.secure_headers else ()
    found = {
        "rewrite": _rewrite(source.rewrite, paths, fault),
        "request": _changes(source.request_headers, "request_headers", fault),
        "response": _changes(source.response_headers, "response_headers", fault),
        "cors": _cors(source, fault),
        "timeout": source.timeout,
        "body": source.body,
    }
    given = {name: value for name, value in found.items() if value is not None}
    if not given and not lacking:
        return None
    if access is Access.NOBODY and (lacking or set(given) != {"cors"}):
        fault("allow", "nothing is forwarded where nobody is allowed, so only cors means something beside it")
    return Effects(lacking=lacking, **given)  # type: ignore[arg-type]


def _rewrite(source: RewriteSource | None, paths: Sequence[PathPattern], fault: Fault) -> Rewrite | None:
    if source is None:
        return None
    stripped_off, added = _prefix(source.strip_prefix, fault), _prefix(source.add_prefix, fault)
    if stripped_off is None or added is None:
        return None
    if not stripped_off and not added:
        fault("rewrite", "says neither strip_prefix nor add_prefix")
    strip, add = ("".join(f"/{segment}" for segment in prefix) for prefix in (stripped_off, added))
    stripped = Glob(f"{strip}/**", (*stripped_off, ANY_DEPTH))
    outside = [pattern.text for pattern in paths if strip and not stripped.covers(pattern)]
    if outside:
        fault("rewrite", f"path {outside[0]} does not begin with {strip}, so there is nothing to strip")
    return Rewrite(strip, add)


def _prefix(text: str | None, fault: Fault) -> tuple[str, ...] | None:
    """The segments of ``/a/b``; None where it is no prefix."""
    if text is None:
        return ()
    glob = tried(text, parse_glob, "rewrite", fault)
    if glob is None:
        return None
    if "*" in text or not all(glob.segments):
        fault("rewrite", f"{text!r}: a prefix is plain segments without a slash at the end, such as /api")
        return None
    return glob.segments


def _changes(source: ChangesSource | None, key: str, fault: Fault) -> FieldChanges | None:
    if source is None:
        return None
    put, remove = source.set or {}, source.remove or ()
    if not put and not remove:
        fault(key, "says neither set nor remove")
    for name in (*put, *remove):
        tried(name, check_name, key, fault)
    for name, value in put.items():
        if name in remove:
            fault(key, f"{name} is both set and removed; setting replaces it")
        tried(value, check_value, key, fault)
    removed = frozenset(canonical_field(name).encode("latin-1", "replace") for name in (*put, *remove))
    lines = tuple(
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in put.items()
    )
    return FieldChanges(removed, lines)


def _cors(rule: RuleSource, fault: Fault) -> Cors | None:
    source = rule.cors
    if source is None:
        return None
    if not source.origins:
        fault("cors", "an empty list of origins admits none; leave the key out")
    if rule.response_headers is not None:
        for name in rule.response_headers.set or ():
            if canonical_field(name).startswith("access-control-"):
                fault("response_headers", f"{name} is what cors is for")
    methods = frozenset(METHODS if rule.methods is None else rule.methods)
    return compile_cors(source, methods, fault)


def compile_cors(source: CorsSource, methods: frozenset[str], fault: Fault) -> Cors | None:
    """Of a rule, or of the gate's own API."""
    origins = tried(source.origins, parse_origins, "cors", fault)
    if origins is None:
        return None
    if origins[2] and source.credentials:
        fault("cors", "credentials for every origin (*) would let any page act as whoever visits it; list the origins")
    for name in (*(source.headers or ()), *(source.expose or ())):
        tried(name, check_token, "cors", fault)
    return Cors(
        *origins,
        methods=methods | ({"HEAD"} if "GET" in methods else frozenset()),
        headers=None if source.headers is None else tuple(source.headers),
        expose=tuple(source.expose or ()),
        credentials=source.credentials,
        max_age=int(source.max_age),
    )
