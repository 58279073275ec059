"""The console: messages in clear on the gate's own output, for trying it out. The one place where a code is shown."""

from __future__ import annotations

from gatekeeper.notify.messages import Message
from gatekeeper.observe.lines import Lines, escaped


class Console:
    """Prints ``OTP for EMAIL (PURPOSE): CODE`` and ``Link for EMAIL (PURPOSE): URL``; waits for nobody."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def show(self, message: Message) -> None:
        """One line for each thing that the message would carry."""
        purpose = message.facts.get("purpose", str(message.kind))
        shown = {"code": "OTP", "link": "Link"}
        said = [
            f"{word} for {message.to} ({purpose}): {message.facts[name]}"
            for name, word in shown.items()
            if name in message.facts
        ]
        if message.facts.get("not_me"):
            said += [
                f"Notice for {message.to}: {message.kind}",
                f"Link for {message.to} (not-me): {message.facts['not_me']}",
            ]
        for line in said or [f"Notice for {message.to}: {message.kind}"]:
            self._lines.write(f"{escaped(line)}\n".encode())
