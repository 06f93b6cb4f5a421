"""The report as one HTML page: pictures inside, a few lines of script to sort tables, nothing to load."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from benchmarks.arena.document import Block, Heading, Picture, Table, Text

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --loss: #c0392b; --head: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); } h3 { margin-top: 1.6rem; }
nav { columns: 3 16rem; font-size: .92rem; } nav a { display: block; text-decoration: none; }
nav a.l3 { padding-left: 1rem; opacity: .85; }
.scroll { overflow-x: auto; margin: .6rem 0 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; padding: .3rem 0; }
th, td { padding: .22rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
thead th { background: var(--head); } tbody tr:hover td { background: var(--head); }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\25B2"; } th[aria-sort=descending] button::after { content: " \\25BC"; }
td.loss { color: var(--loss); font-weight: 700; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: white; } figcaption { font-size: .9rem; opacity: .85; }
"""

# Numbers first by value, texts after them; "-", "none" and the like last whichever way the column is sorted.
_SCRIPT = """
"use strict";
function keyOf(cell) {
  const text = cell.textContent.trim();
  const number = parseFloat(text.replace("%", ""));
  if (text === "" || text === "-" || text === "none") return { empty: true };
  return Number.isNaN(number) ? { text: text } : { number: number };
}
function compare(a, b) {
  if (a.number !== undefined && b.number !== undefined) return a.number - b.number;
  if (a.number !== undefined) return -1;
  if (b.number !== undefined) return 1;
  return a.text.localeCompare(b.text);
}
function sortBy(header) {
  const table = header.closest("table"), body = table.tBodies[0];
  const column = Array.from(header.parentNode.children).indexOf(header);
  const up = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = Array.from(body.rows).map(row => ({ row: row, key: keyOf(row.cells[column]) }));
  rows.sort((a, b) => a.key.empty || b.key.empty ? (a.key.empty ? 1 : 0) - (b.key.empty ? 1 : 0)
    : (up ? 1 : -1) * compare(a.key, b.key));
  for (const item of rows) body.appendChild(item.row);
}
document.addEventListener("click", event => {
  const button = event.target.closest("th button");
  if (button) sortBy(button.parentNode);
});
"""


def page(blocks: Sequence[Block], title: str, extra_script: str = "") -> str:
    """A complete document in UTF-8; `extra_script` runs after the page's own (for its test)."""
    body: list[str] = []
    links: list[str] = []
    for number, block in enumerate(blocks):
        match block:
            case Heading(text, level):
                body.append(f'<h{level} id="s{number}">{html.escape(text)}</h{level}>')
                if level in (2, 3):
                    links.append(f'<a class="l{level}" href="#s{number}">{html.escape(text)}</a>')
            case Text(text, items):
                body.append(f"<p>{_inline(text)}</p>" if text else "")
                body.append("<ul>" + "".join(f"<li>{_inline(i)}</li>" for i in items) + "</ul>" if items else "")
            case Table():
                body.append(_table(block))
            case Picture(name, png, caption):
                data = base64.b64encode(png).decode()
                image = f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}">'
                body.append(f"<figure>{image}<figcaption>{_inline(caption)}</figcaption></figure>")
    first = next((i for i, part in enumerate(body) if part.startswith("<h2")), len(body))
    body.insert(first, f"<nav>{''.join(links)}</nav>")
    # An empty icon, so that browsers do not ask for one.
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f"<body>\n{chr(10).join(part for part in body if part)}\n<script>{_SCRIPT}{extra_script}</script></body></html>\n"
    )


def _table(table: Table) -> str:
    caption = f"<caption>{_inline(table.caption)}</caption>" if table.caption else ""
    head = "".join(f'<th scope="col"><button type="button">{html.escape(c)}</button></th>' for c in table.columns)
    rows = []
    for i, row in enumerate(table.rows):
        cells = [
            f'<td class="loss">{html.escape(v)}</td>' if (i, j) in table.bold else f"<td>{html.escape(v)}</td>"
            for j, v in enumerate(row)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _inline(text: str) -> str:
    """Escaped, with `code` and **bold** kept."""
    out = html.escape(text, quote=False)
    for mark, tag in (("**", "b"), ("`", "code")):
        parts = out.split(mark)
        if len(parts) % 2 == 1:
            out = "".join(p if i % 2 == 0 else f"<{tag}>{p}</{tag}>" for i, p in enumerate(parts))
    return out
