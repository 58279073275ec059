"""Does an answer's time say whether an e-mail has an account?

    .venv/bin/python benchmarks/timing.py [--tries 500] [--patience 20]

Login with a wrong password, ``password/forgot``, ``otp/request`` and, where e-mails are verified, ``register``: as many
known as unknown e-mails, in random order with a short pause, every e-mail once a call, over one kept-alive connection
to a gate as users run it (its own PostgreSQL and Valkey, Argon2id at full cost, mail handed to an SMTP server). Medians
within 5 % are the aim; ``chance`` is how far they differ, at the 95th percentile, between two halves of the same times
drawn at random: nothing below that means anything. Exit 1 where a call is beyond both.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HOME = Path(__file__).resolve().parent
PASSWORD = "correct horse battery 9"
AIM = 0.05
OPEN: dict[str, Any] = {"rules": [{"name": "all", "path": "/**", "allow": "authenticated"}]}
_HALVES = 1000
_PAUSE = 0.03  # seconds, so that what one request leaves to be done (a mail) does not slow the next one down
_WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API and the body that asks it about an e-mail."""

    path: str
    status: int
    more: dict[str, Any]


CALLS = {
    "login": Call("login", 401, {"password": "not the password, I think"}),
    "forgot": Call("password/forgot", 202, {}),
    "otp": Call("otp/request", 202, {"purpose": "login"}),
    "register": Call("register", 202, {"password": PASSWORD}),
}


class Nobody:
    """Takes every mail."""

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802  # the library's name
        return "250 taken"


@contextmanager
def mail_server(port: int) -> Iterator[None]:
    """An SMTP server in a thread of this process."""
    from aiosmtpd.controller import Controller

    controller = Controller(Nobody(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def timed(connection: http.client.HTTPConnection, call: Call, email: str) -> float:
    """Seconds from the request to the whole answer."""
    body = json.dumps({"email": email, **call.more})
    began = time.perf_counter()
    connection.request("POST", f"/_gate/auth/{call.path}", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    took = time.perf_counter() - began
    if answer.status != call.status:
        raise SystemExit(f"{call.path}: {answer.status} {said[:200]!r}")
    return took


def measured(port: int, call: Call, tries: int, name: str) -> tuple[list[float], list[float]]:
    """Times for known and for unknown e-mails."""
    from gatebench.processes import Quiet

    dice, known, unknown = random.Random(name), [], []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number in range(_WARM_UP):
        timed(connection, call, f"warm{number}-{name}@example.com")
    asked = [(known, f"known{number}@example.com") for number in range(tries)]
    asked += [(unknown, f"{name}{number:05}@example.com") for number in range(tries)]
    dice.shuffle(asked)
    for number, (times, email) in enumerate(asked):
        if number % 50 == 0:
            Quiet.wait()
        time.sleep(_PAUSE)
        times.append(timed(connection, call, email))
    connection.close()
    return known, unknown


def chance(known: list[float], unknown: list[float]) -> float:
    """How far the medians of two random halves of all times differ, as a share: the 95th percentile."""
    dice, both, half = random.Random(1), [*known, *unknown], len(known)
    shares = []
    for _ in range(_HALVES):
        dice.shuffle(both)
        one, other = median(both[:half]), median(both[half:])
        shares.append(abs(one - other) / other)
    return sorted(shares)[int(0.95 * _HALVES)]


def accounts(folder: Path, stores: Any, tries: int) -> None:
    """As many accounts, made while e-mails are not verified."""
    from gatebench.gate import gate

    with gate(folder, stores, {"api": 9}, **OPEN) as running:
        for number in range(tries):
            status, said = running.call(
                "/_gate/auth/register", {"email": f"known{number}@example.com", "password": PASSWORD}
            )
            if status != 201:
                raise SystemExit(f"an account could not be made: {said}")


def run(tries: int) -> int:
    """Measure, print; 1 where a call tells."""
    from gatebench.gate import gate, stores
    from gatebench.processes import free_port

    port, told = free_port(), False
    settings = {
        "registration": {"verify_email": True},
        "otp": {"deliver": ["smtp"], "limit": "100000/minute"},
        "mail": {"from": "gate@example.org", "smtp": {"host": "127.0.0.1", "port": port, "tls": "none"}},
    }
    with tempfile.TemporaryDirectory(prefix="gate-timing-") as name, mail_server(port):
        folder = Path(name)
        folder.chmod(0o755)
        with stores(folder / "stores") as of:
            accounts(folder / "first", of, tries)
            with gate(folder / "second", of, {"api": 9}, **OPEN, **settings) as running:
                print("| call | known, ms | unknown, ms | difference | chance |\n|---|--:|--:|--:|--:|")
                for title, call in CALLS.items():
                    known, unknown = measured(running.port, call, tries, title)
                    share = median(known) / median(unknown) - 1
                    noise = chance(known, unknown)
                    told = told or abs(share) > max(AIM, noise)
                    row = f"{median(known) * 1e3:.2f} | {median(unknown) * 1e3:.2f} | {share:+.1%} | {noise:.1%}"
                    print(f"| {title} | {row} |", flush=True)
    return int(told)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--patience", type=float, default=0.0, metavar="SECONDS", help="as in run.py, each 50 tries")
    args = parser.parse_args()
    sys.path.insert(1, str(HOME.parent))
    from gatebench.processes import Quiet

    Quiet.patience = args.patience
    return run(args.tries)


if __name__ == "__main__":
    sys.exit(main())
