"""axe-core, which looks a page over for what shuts people out. Installed by scripts/setup-programs.sh where npm is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Page

AXE = Path(__file__).parent / "e2e" / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """async () => (await axe.run()).violations.filter(one => ['serious', 'critical'].includes(one.impact))
    .map(one => `${one.impact}: ${one.id}: ${one.nodes.map(node => node.html).join(' | ')}`)"""


async def serious_faults(page: Page) -> list[str]:
    """Each serious or critical fault of the page as it is now."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))  # as a debugger does; the page's policy admits no script
    found: list[str] = await page.evaluate(_RUN)
    return found
