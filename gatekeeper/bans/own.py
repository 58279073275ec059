"""Whether a ban would shut out the one who asks for it. Called by ``gatekeeper.bans.desk``, which then wants to be told
twice: a slip in a prefix length must not cost the last admin the way in.
"""

from __future__ import annotations

from typing import assert_never

from policies.bans import BanKind, Subject, agent_matches
from policies.model import Address


def meets(
    subject: Subject, label: str | None, *, user: str, address: Address | None, country: str | None, agent: str | None
) -> str | None:
    """In words how a ban on ``subject`` meets somebody with this id, address, country and User-Agent, if it does.

    The allow list is left out of account: it may be another one tomorrow, and the ban would still be there.
    """
    match subject.kind:
        case BanKind.NETWORK:
            hit = address is not None and address in subject.network
            own = "is the address" if subject.is_address else f"holds {address},"
            return f"{subject.text} {own} from which you are asking" if hit else None
        case BanKind.COUNTRY:
            hit = country is not None and country == subject.text
            return f"{subject.text} is the country from which you are asking" if hit else None
        case BanKind.AGENT:
            hit = agent is not None and agent_matches(subject.text, agent.lower())
            return f"agent:{subject.text} matches the browser or program with which you are asking" if hit else None
        case BanKind.USER:
            return f"{label or subject.text} is your own account" if subject.text == user else None
        case _:
            assert_never(subject.kind)
