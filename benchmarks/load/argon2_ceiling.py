"""How many Argon2id verifications a second this machine does with N threads and nothing else: N SECONDS.

The gate's own parameters and library; started by gatebench/logins.py on the cores that the gate has.
"""

from __future__ import annotations

import json
import sys
import threading
from time import perf_counter

from argon2 import PasswordHasher
from argon2.low_level import Type

from gatekeeper.identity.passwords import OWASP


def main() -> None:
    """Measure and say it."""
    threads, seconds = int(sys.argv[1]), float(sys.argv[2])
    hasher = PasswordHasher(OWASP.time, OWASP.memory, OWASP.lanes, type=Type.ID)
    hashed = hasher.hash("correct horse battery 9")
    counts = [0] * threads
    begun = perf_counter()

    def work(number: int) -> None:
        while perf_counter() - begun < seconds:
            hasher.verify(hashed, "correct horse battery 9")
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps({"per_second": sum(counts) / (perf_counter() - begun)}))


if __name__ == "__main__":
    main()
