"""Part `signals`: what it costs to hold an attempt against everything that is known: a replayed year, no stores."""

from __future__ import annotations

import json
from time import process_time

from gatebench.report import Goal, Part
from gatebench.stage import Stage

_USERS = 40


def signals(_stage: Stage) -> Part:
    """CPU time of judging and learning, and of the profile's way to the database and back."""
    from year.replay import replay, year

    from policies.familiar import Familiar

    happenings = list(year(_USERS, seed=1))
    begun = process_time()
    outcome = replay(happenings)
    judged = 1e6 * (process_time() - begun) / outcome.happenings
    familiar = Familiar()
    for one in happenings:
        familiar = familiar.with_login(one.seen)
    begun = process_time()
    for _ in range(1000):
        Familiar.load(json.loads(json.dumps(familiar.dump())))
    kept = 1e6 * (process_time() - begun) / 1000
    part = Part("Signals of one attempt", ["what", "CPU us"])
    part.row(f"all signals judged and learnt, of {outcome.happenings:,} attempts in a replayed year", f"{judged:.0f}")
    part.row("a full profile as JSON and back", f"{kept:.0f}")
    part.goals.append(Goal("CPU of all signals of a login", judged + kept, "<=", 1000, " us"))
    part.data = {"judged_us": judged, "kept_us": kept, "attempts": outcome.happenings}
    return part
