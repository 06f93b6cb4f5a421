"""The report: Markdown, pictures, and a page that needs nothing but itself."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.arena.document import Heading, Picture, Table, Text, markdown
from benchmarks.arena.page import page
from benchmarks.arena.report import read_references
from tests.benchmarks.test_profiles import made, stored

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
# One black pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three solvers, two n, constraints, one failure, and a report of it."""
    pytest.importorskip("matplotlib")
    path = tmp_path_factory.mktemp("arena")
    runs = [
        made(
            solver,
            [1.0, 10.0 + speed],
            [50.0 + seed, speed * 1e-4],
            instance=i,
            seed=seed,
            n=n,
            budget=50.0 * n,
            constraints=1,
            loose=([1.0, 9.0], [40.0, 0.0]),
        )
        for solver, speed in (("dfoattack", 2.0), ("nomad", 1.0), ("random", 30.0))
        for i in ("a", "b")
        for seed in range(2)
        for n in (2, 3)
    ]
    stored(path, runs)
    assert main(["report", str(path)]) == 0
    return path / "report"


def test_the_markdown_names_machine_versions_seeds_and_commit(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert "today, commit abc, m, OMP_NUM_THREADS 1; python 3" in text
    assert "Seeds 0 to 1; 10 seeds or more make a claim" in text
    assert "`nomad`: made by hand, nomad." in text
    for name in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert text.count("](") == 7  # ECDF, data and performance profiles under both rules, bands
    assert "c <= 0" in text
    assert "c <= 1e-6" in text
    assert text.index("every c <= 0") < text.index("every c <= 1e-6")  # the strict rule is the headline
    assert "COCO's own score max(f - f_opt, 0) + sum max(c, 0)" in text


def test_tables_are_rectangular(folder: Path) -> None:
    lines = (folder / "report.md").read_text().splitlines()
    width = None
    tables = 0
    for line in lines:
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        tables += width is None
        assert width in (None, cells)
        width = cells
    assert tables >= 10


class Loads(html.parser.HTMLParser):
    """Everything that a browser would fetch, and whether tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    parser = Loads()
    parser.feed(text)
    assert parser.open == []
    assert all(s.startswith(("data:", "#")) for s in parser.sources)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert sum(s.startswith("data:image/png") for s in parser.sources) == len(list(folder.glob("*.png")))


def test_text_is_escaped() -> None:
    blocks = [Heading("a < b", 2), Text("`x<y` and **b**"), Table(("s", "v|w"), (("<i>", "1"),), frozenset({(0, 1)}))]
    text = page(blocks, "t & u")
    assert "<title>t &amp; u</title>" in text
    assert "<code>x&lt;y</code> and <b>b</b>" in text
    assert "&lt;i&gt;" in text
    assert '<td class="loss">1</td>' in text
    assert markdown(blocks).splitlines()[-3:] == ["| s | v\\|w |", "| --- | ---: |", "| <i> | **1** |"]


def test_unknown_baselines_and_folders_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "does not exist" in capsys.readouterr().err
    stored(tmp_path, [made("nomad", [1.0], [0.0])])
    assert main(["report", str(tmp_path), "--baseline", "nomd"]) == 2
    assert "got 'nomd'" in capsys.readouterr().err
    reference = tmp_path / "best.csv"
    reference.write_text("suite,name\n")
    assert main(["report", str(tmp_path), "--reference", str(reference)]) == 2
    assert "['instance', 'n', 'value']" in capsys.readouterr().err


def test_best_known_values_are_written_and_read_again(tmp_path: Path) -> None:
    runs = [made("nomad", [1.0, 9.0], [3.0, 0.1], f_opt=None), made("cma-es", [1.0], [2.0], f_opt=None)]
    runs += [made("nomad", [], [], instance="b", f_opt=None)]
    folder = stored(tmp_path / "long", runs)
    assert main(["best", str(folder), "--out", str(tmp_path / "best.csv")]) == 0
    assert read_references(tmp_path / "best.csv") == {("s", "a", 2): 0.1}
    shorter = stored(tmp_path / "short", [made("cobyqa", [1.0], [0.2]), made("cobyqa", [1.0], [4.0], instance="b")])
    assert main(["best", str(shorter), "--out", str(tmp_path / "best.csv")]) == 0
    assert read_references(tmp_path / "best.csv") == {("s", "a", 2): 0.1, ("s", "b", 2): 4.0}
    assert "s,a,2,0.1,nomad," in (tmp_path / "best.csv").read_text()


SORTING = """
const errors = [];
window.addEventListener("error", e => errors.push(e.message));
window.addEventListener("load", () => {
  const table = document.querySelector("table");
  const names = () => Array.from(table.tBodies[0].rows).map(r => r.cells[0].textContent).join(" ");
  const press = i => table.tHead.rows[0].cells[i].querySelector("button").click();
  const seen = [names()];
  press(1); seen.push(names());
  press(1); seen.push(names());
  press(0); seen.push(names());
  const images = Array.from(document.images).every(i => i.complete && i.naturalWidth > 0);
  const verdict = document.createElement("pre");
  verdict.id = "verdict";
  verdict.textContent = [...seen, "images " + images, "errors " + errors.length].join("|");
  document.body.appendChild(verdict);
});
"""
SORTED = "c a b d|d a c b|c a d b|a b c d"
ROWS = (("c", "10"), ("a", "9.5"), ("b", "-"), ("d", "-1e-3"))


def opened(path: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after its scripts have run, and what the browser's console said."""
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    words = [str(BROWSER), *quiet.split(), "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"]
    words += ["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return shown.stdout, [line for line in shown.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_a_browser_shows_and_sorts_the_page(tmp_path: Path) -> None:
    blocks = [Table(("name", "value"), ROWS), Picture("p", PIXEL, "a pixel")]
    (tmp_path / "page.html").write_text(page(blocks, "t", SORTING))
    document, console = opened(tmp_path / "page.html", tmp_path / "profile")
    assert "images true|errors 0" in document
    assert SORTED in document
    assert console == []


@needs_browser
def test_what_is_wrong_with_a_page_is_noticed(tmp_path: Path) -> None:
    broken = [Table(("name", "value"), ROWS), Picture("p", PIXEL[:20], "no picture")]
    script = SORTING + "console.error('said on the console'); setTimeout(() => { throw new Error('thrown'); });"
    (tmp_path / "page.html").write_text(page(broken, "t", script))
    document, console = opened(tmp_path / "page.html", tmp_path / "profile")
    assert "images false" in document
    assert "said on the console" in " ".join(console)
    assert "thrown" in " ".join(console)


@needs_browser
def test_a_browser_shows_a_whole_report_and_sorts_its_table(folder: Path, tmp_path: Path) -> None:
    text = (folder / "report.html").read_text()
    # A copy: the report itself with a script at its end that clicks and writes down what it sees.
    (tmp_path / "report.html").write_text(text.replace("</body>", f"<script>{SORTING}</script></body>"))
    document, console = opened(tmp_path / "report.html", tmp_path / "profile")
    verdict = re.search(r'<pre id="verdict">([^<]*)</pre>', document)
    assert verdict is not None
    before, *_, by_name, images, errors = verdict[1].split("|")
    assert by_name.split() == sorted(before.split()) == ["dfoattack", "nomad", "random"]
    assert (images, errors) == ("images true", "errors 0")
    assert console == []
    assert document.count("<img") == text.count("<img") == len(list(folder.glob("*.png"))) > 5
    assert 'aria-sort="ascending"' in document


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_sorting_script_sorts(tmp_path: Path) -> None:
    """The page's own script under a few lines of stand-in for a document: order of numbers, texts and gaps."""
    script = re.search(r"<script>(.*)</script>", page([], "t"), re.DOTALL)
    assert script is not None
    stand_in = """
const document = { addEventListener() {} };
const make = text => ({ textContent: text });
function tableOf(rows) {
  const body = { rows: rows.map(cells => ({ cells: cells.map(make) })) };
  body.appendChild = row => { body.rows = [...body.rows.filter(r => r !== row), row]; };
  const table = { tBodies: [body] }, parent = { children: [] };
  for (const _ of rows[0]) {
    const header = { sort: null, parentNode: parent, closest: () => table,
      getAttribute() { return this.sort; }, setAttribute(_, v) { this.sort = v; }, removeAttribute() { this.sort = null; } };
    parent.children.push(header);
  }
  return [body, parent.children];
}
"""
    calls = f"""
const [body, heads] = tableOf({[list(row) for row in ROWS]});
const names = () => body.rows.map(r => r.cells[0].textContent).join(" ");
const seen = [names()];
for (const i of [1, 1, 0]) {{ sortBy(heads[i]); seen.push(names()); }}
console.log(seen.join("|"));
"""
    (tmp_path / "sort.js").write_text(stand_in + script[1].replace('"use strict";', "") + calls)
    shown = subprocess.run(["node", str(tmp_path / "sort.js")], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.strip() == SORTED
