"""The page in Chromium, 360 and 1280 px wide: nothing runs over, is cut off or too small."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dualtower_benchmarks.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
# the page lies in a frame of the asked width, since a window has a least one
MEASURE = """
<body style="margin:0"><pre id="found"></pre><iframe id="page" srcdoc="{page}"
 style="width:{width}px;height:900px;border:0"></iframe><script>
document.getElementById("page").onload = (event) => {{
  const page = event.target.contentDocument, found = {{clipped: [], covered: [], small: []}};
  for (const fold of page.querySelectorAll("details")) fold.open = true;
  found.width = page.documentElement.scrollWidth;
  found.dark = getComputedStyle(page.body).backgroundColor;
  for (const figure of page.querySelectorAll("figure")) {{
    const frame = figure.getBoundingClientRect(), boxes = [];
    for (const text of figure.querySelectorAll("svg text")) {{
      const box = text.getBoundingClientRect();
      if (!box.width) continue;
      if (box.left < frame.left - 1 || box.right > frame.right + 1 ||
          box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        found.clipped.push(text.textContent);
      if (box.height < 9) found.small.push(text.textContent);
      for (const [other, name] of boxes) {{
        const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (wide > 2 && high > 4) found.covered.push(name + " | " + text.textContent);
      }}
      boxes.push([box, text.textContent]);
    }}
  }}
  found.figures = page.querySelectorAll("figure").length;
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script>
"""


def seen(page: str, folder: Path, *, width: int, scheme: int) -> dict[str, Any]:
    """What Chromium measures on the page; `scheme` 0 is dark, 1 light."""
    frame = folder / f"{width}-{scheme}.html"
    frame.write_text(MEASURE.format(page=html.escape(page), width=width), encoding="utf-8")
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000",
            f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=10000",
            "--dump-dom", frame.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    measured: dict[str, Any] = json.loads(html.unescape(found[1]))
    return measured


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(("width", "scheme"), [(360, 0), (1280, 1)])
def test_it_can_be_read(drawn, tmp_path: Path, width: int, scheme: int) -> None:
    write_report([drawn.path], out=tmp_path / "r.html")
    found = seen((tmp_path / "r.html").read_text(), tmp_path, width=width, scheme=scheme)
    assert found["figures"] > 25
    assert found["width"] <= width, "the page runs over to the side"
    assert found["clipped"] == []
    assert found["covered"] == []
    assert found["small"] == []
    dark = sum(map(int, re.findall(r"\d+", found["dark"])[:3])) < 200
    assert dark == (scheme == 0)
