"""The page of answers: one file, nothing in it is obeyed, it fits a phone, keys do what they say."""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from savs_harvest.asking.preparing import Question
from savs_harvest.cli.asked import Asked
from savs_harvest.cli.page import Gallery

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --virtual-time-budget=5000""".split()
WIDTHS = (360, 390, 1280)
ABOUT = {"title": "leaves", "question": "is it dark or light ?", "notes": [], "false_alarms": 0.05}
EVIL = "</script><img src=x onerror=alert(1)>\"' \x1b[31m"
# Windows may not be as narrow as a phone, frames may: one of every width says what it holds after some keys.
FRAMES = """<!doctype html><body><script>
for (const width of {widths}) {{
  const frame = document.createElement("iframe");
  Object.assign(frame, {{src: "answers.html", width, height: 900, onload() {{
    const found = frame.contentWindow, root = found.document.documentElement;
    const of = (words) => found.document.querySelector(words);
    const press = (key) => (found.document.activeElement || of("body")).dispatchEvent(
      new found.KeyboardEvent("keydown", {{key, bubbles: true, cancelable: true}}));
    const count = () => found.document.querySelectorAll("article").length;
    const told = {{width, all: count()}};
    press("ArrowRight"); press("ArrowRight"); told.second = found.document.activeElement.dataset.place;
    press("Enter"); told.open = of("dialog").open; told.large = of("dialog .file").textContent;
    of("#next").click(); told.next = of("dialog .file").textContent;
    of("#close").click(); told.closed = !of("dialog").open;
    press("2"); told.doubtful = count();
    press("1"); of("#order").value = "class"; of("#order").dispatchEvent(new found.Event("input"));
    told.titles = found.document.querySelectorAll("h2").length;
    const outside = [...found.document.querySelectorAll("body *")].filter(
      (element) => !element.closest("dialog") && element.getBoundingClientRect().right > width + 0.5);
    Object.assign(told, {{needed: root.scrollWidth, outside: outside.map((element) => element.outerHTML.slice(0, 99)),
      fetched: found.performance.getEntriesByType("resource").map((entry) => entry.name)
        .filter((name) => !name.startsWith("data:"))}});
    document.body.append(JSON.stringify(told) + "\\n");
  }}}});
  frame.style.border = 0;
  document.body.append(frame);
}}
</script>"""


def row(name, label="dark", doubtful=False, probability=0.9, status="ok"):
    failed = status != "ok"
    return {
        "file": name,
        "question": ABOUT["question"],
        "class": None if failed else label,
        "probability": None if failed else probability,
        "set": [] if failed else [label, "light"] if doubtful else [label],
        "doubtful": None if failed else doubtful,
        "second": None if failed else "light",
        "likeness": None if failed else 0.5,
        "status": status,
    }


def asked(name, shade=40):
    return Asked(name, Question((Image.new("RGB", (64, 40), (shade, 90, shade)),), ABOUT["question"]))


@pytest.fixture
def gallery():
    found = Gallery()
    for number in range(12):
        found.add(
            asked(f"photos/{number}.jpg", 20 * number), row(f"photos/{number}.jpg", probability=0.5 + number / 30)
        )
    found.add(asked("a/" + "long-name" * 20 + ".jpg"), row("a/" + "long-name" * 20 + ".jpg", "light", True, 0.4))
    found.add(asked(EVIL), row(EVIL, EVIL, True, 0.6))
    found.add(asked("torn.jpg"), row("torn.jpg", status="image_corrupt"))
    return found


def test_what_a_file_or_a_class_is_called_is_never_obeyed(gallery, tmp_path):
    gallery.write(tmp_path / "answers.html", {**ABOUT, "title": EVIL, "notes": [EVIL]})
    text = (tmp_path / "answers.html").read_text()
    assert "<img src=x" not in text
    assert "\x1b" not in text
    assert text.count("</script>") == 1
    assert not re.search(r'(?:src|href)="(?!data:)', text)


def test_the_most_doubtful_come_first_and_failed_last(gallery, tmp_path):
    gallery.write(tmp_path / "answers.html", ABOUT)
    text = (tmp_path / "answers.html").read_text()
    states = re.findall(r'<article class="(\w+)"', text)
    assert states == ["doubtful"] * 2 + ["clear"] * 12 + ["failed"]
    found = list(map(float, re.findall(r'data-probability="([\d.]+)"', text)))
    assert found[:2] == sorted(found[:2])
    assert found[2:-1] == sorted(found[2:-1])
    assert "15 answers: 12 clear, 2 doubtful, 1 failed" in text


def test_of_very_many_the_most_doubtful_are_kept(tmp_path):
    gallery = Gallery(most=5)
    for number in range(50):
        gallery.add(asked(str(number)), row(str(number), doubtful=number % 20 == 7, probability=number / 50))
    gallery.write(tmp_path / "answers.html", ABOUT)
    text = (tmp_path / "answers.html").read_text()
    assert re.findall(r'data-file="(\d+)"', text) == ["7", "27", "47", "0", "1"]
    assert "The 5 most doubtful are here; 45 others" in text


@pytest.fixture
def served(gallery, tmp_path, monkeypatch):
    gallery.write(tmp_path / "site" / "answers.html", ABOUT)
    paths = []
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda handler, *_: paths.append(handler.path))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome is installed")
def test_it_fits_every_width_fetches_nothing_and_hears_keys(served, tmp_path):
    address, paths = served
    (tmp_path / "site" / "frames.html").write_text(FRAMES.format(widths=list(WIDTHS)))
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *QUIET, profile, "--window-size=1400,900", "--dump-dom", f"{address}/frames.html"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    told = [json.loads(line) for line in re.findall(r"\{.*\}$", text, re.MULTILINE)]
    assert {found["width"] for found in told} == set(WIDTHS)
    for found in told:
        assert (found["all"], found["doubtful"], found["titles"]) == (15, 2, 4)
        assert found["second"] == "1"
        assert found["open"]
        assert found["closed"]
        assert found["large"] != found["next"] == "photos/0.jpg"
        assert found["fetched"] == []
        assert found["outside"] == []
        assert found["needed"] <= found["width"]
    assert set(paths) <= {"/frames.html", "/answers.html", "/favicon.ico"}
