"""The report in a browser: nothing is fetched, nothing is wider than the window."""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from kit.sweeps import sweep
from savs_analyze.report.page import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --virtual-time-budget=5000""".split()
WIDTHS = (360, 390, 1280)
# Windows may not be as narrow as a phone, frames may: one of every width says what it holds.
FRAMES = """<!doctype html><body><script>
for (const width of {widths}) {{
  const frame = document.createElement("iframe");
  Object.assign(frame, {{src: "report.html", width, height: 900, onload() {{
    const found = frame.contentWindow, root = found.document.documentElement;
    const outside = [...found.document.querySelectorAll("body *")].filter(
      (element) => !element.closest(".box table, svg *") && element.getBoundingClientRect().right > width);
    document.body.append(JSON.stringify({{
      width, needed: root.scrollWidth, outside: outside.map((element) => element.outerHTML.slice(0, 99)),
      fetched: found.performance.getEntriesByType("resource").map((entry) => entry.name),
      sections: found.document.querySelectorAll("h2").length}}) + "\\n");
  }}}});
  frame.style.border = 0;
  document.body.append(frame);
}}
</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome is installed")]


@pytest.fixture(scope="module")
def page(write_toy, tmp_path_factory):
    """A report with long names, many settings and many classes."""
    folder, generator = tmp_path_factory.mktemp("page"), np.random.default_rng(0)
    stores = []
    for name, classes in (("a-benchmark-whose-name-is-" + "long" * 12, 2), ("ten", 10)):
        logits = generator.normal(size=(2 * 30 * classes, classes)).astype(np.float32)
        stores.append(write_toy(folder, generator, name, classes=classes, logits=logits).path)
    command = "savs-analyze sweep --store " + "a-long-path/" * 30
    sweep(stores, folder / "out", shots=5, draws=2, heads=range(1, 9), command=command)
    return write_report(folder / "out", folder / "site" / "report.html")


@pytest.fixture
def asked(page, monkeypatch):
    """Serve the page; return the address and the list of what browsers ask for."""
    paths = []
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda handler, *_: paths.append(handler.path))
    handler = partial(SimpleHTTPRequestHandler, directory=str(page.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def dom_of(address, tmp_path):
    command = [
        CHROMIUM,
        *QUIET,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1400,900",
        "--dump-dom",
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_page_fits_every_width_and_fetches_nothing(page, asked, tmp_path):
    (page.parent / "frames.html").write_text(FRAMES.format(widths=list(WIDTHS)))
    address, paths = asked
    told = [
        json.loads(line) for line in re.findall(r"\{.*\}$", dom_of(f"{address}/frames.html", tmp_path), re.MULTILINE)
    ]
    assert {found["width"] for found in told} == set(WIDTHS)
    for found in told:
        assert found["sections"] > 4
        assert found["fetched"] == []
        assert found["outside"] == []
        assert found["needed"] <= found["width"]
    assert set(paths) <= {"/frames.html", "/report.html", "/favicon.ico"}


def test_this_test_can_fail(page, asked, tmp_path):
    broken = page.read_text().replace("</main>", '<img src="x.png"><div style="width: 2000px">wide</div></main>')
    page.with_name("broken.html").write_text(broken)
    page.with_name("frames.html").write_text(FRAMES.format(widths=[360]).replace("report.html", "broken.html"))
    address, paths = asked
    [line] = re.findall(r"\{.*\}$", dom_of(f"{address}/frames.html", tmp_path), re.MULTILINE)
    found = json.loads(line)
    assert found["fetched"] == [f"{address}/x.png"]
    assert found["needed"] >= 2000
    assert found["outside"]
    assert "/x.png" in paths
