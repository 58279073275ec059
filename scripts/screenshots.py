"""The panel's pictures in the README: a gate with the data of `gatekeeper demo`, seen by Chromium. Run by
`make screenshots`, by hand, when the panel looks different; docs/screenshots/ is committed.

Everything is the real thing: its own PostgreSQL and Valkey in a temporary folder, free ports, a person who signs in.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.async_api import Page, async_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "screenshots"
WIDTH, HEIGHT, SHARPNESS = 1280, 860, 1.5
QUALITY = 82  # of WebP, in per cent
#: Its own would show up in the pictures as HeadlessChrome.
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
PATIENCE = 120_000  # milliseconds
RULES = [
    {"name": "health", "path": "/health", "methods": ["GET"], "allow": "anyone"},
    {"name": "docs", "path": "/docs/**", "methods": ["GET"], "allow": "anyone"},
    {"name": "payroll", "path": "/payroll/**", "allow": {"roles": ["finance"]}, "step_up": "10m"},
    {"name": "deploy", "path": "/deploy/**", "allow": {"roles": ["engineering"]}, "mfa": True},
    {"name": "reports", "path": "/reports/**", "allow": {"roles": ["staff"]}},
    {"name": "api", "path": "/**", "allow": "authenticated", "limit": {"rate": "600/minute", "by": "user"}},
]


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path) -> Path:
    """A gate that asks its admin for no second factor, so that one sign-in opens the panel."""
    public, internal = free_port(), free_port()
    config = {
        "listen": [f"127.0.0.1:{public}"],
        "public_url": f"http://127.0.0.1:{public}",
        "internal_listen": f"127.0.0.1:{internal}",
        "workers": 1,
        "storage": {"data_dir": str(folder / "data")},
        "mfa": {"require_for_roles": []},
        "rules": RULES,
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    return file


def fill(command: list[str]) -> tuple[str, str, str]:
    """Where to sign in, as whom, with which password."""
    said = subprocess.run([*command, "demo"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"Sign in at (\S+)\s+e-mail\s+(\S+)\s+password\s+(\S+)", said)
    if found is None:
        sys.exit(f"gatekeeper demo said something else:\n{said}")
    return found[1], found[2], found[3]


def wait_until_ready(panel: str, gate: subprocess.Popen[bytes], log: Path) -> None:
    """Until it serves. Ends the program where it does not, with what it said last."""
    ready = f"{panel.removesuffix('admin/')}health/ready"
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=5):
            return
        if gate.poll() is not None:
            break
        time.sleep(0.2)
    sys.exit(f"the gate did not start:\n{log.read_text()[-2000:]}")


async def take(page: Page, name: str, scheme: str = "light") -> None:
    """One picture of what is in the window."""
    await page.wait_for_load_state("networkidle")
    session = await page.context.new_cdp_session(page)
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": 1}
    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY, "clip": clip})
    await session.detach()
    file = PICTURES / (f"{name}.webp" if scheme == "light" else f"{name}-{scheme}.webp")
    file.write_bytes(base64.b64decode(shot["data"]))
    print(f"  {file.relative_to(ROOT)}  {file.stat().st_size // 1024} KiB")


async def walk(panel: str, email: str, password: str) -> None:
    """Sign in and take all pictures."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            device_scale_factor=SHARPNESS,
            locale="en-GB",
            timezone_id="Europe/Zurich",
            reduced_motion="reduce",
            user_agent=AGENT,
        )
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        await page.goto(panel)
        await page.fill("#email", email)
        await page.fill("#password", password)
        await page.press("#password", "Enter")
        await page.wait_for_url("**/admin/**")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.goto(f"{panel}?range=30d")
            await take(page, "overview", scheme)
        await page.emulate_media(color_scheme="light")
        for name in ("logins", "map", "sessions", "rules"):
            await page.goto(f"{panel}{name}")
            await take(page, name)
        await page.goto(f"{panel}logins?signal=impossible_travel&range=30d")
        await page.click("tbody a[href*='/users/']")
        await take(page, "user")
        await browser.close()


def main() -> int:
    """Fill, serve, look, end."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        Path(folder).chmod(0o711)  # root's embedded servers run as somebody else, who must get to data/
        command = [sys.executable, "-m", "gatekeeper", "--config", str(write_config(Path(folder)))]
        panel, email, password = fill(command)
        log = Path(folder) / "gate.log"
        with log.open("w") as written, subprocess.Popen([*command, "serve"], stdout=written, stderr=written) as gate:
            try:
                wait_until_ready(panel, gate, log)
                asyncio.run(walk(panel, email, password))
            finally:
                gate.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
