"""A report as a list of blocks, written twice: as Markdown and (in `page`) as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heading:
    """level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; `items` make it a list."""

    text: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The first column holds names, the others numbers as text; `bold` holds (row, column) pairs."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG file of that name beside the Markdown file, inside the HTML page."""

    name: str
    png: bytes
    caption: str


Block = Heading | Text | Table | Picture


def markdown(blocks: Sequence[Block]) -> str:
    """GitHub-flavoured Markdown; pictures are linked by their file names."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {text}")
            case Text(text, items):
                parts.append("\n".join([*([text] if text else []), *([""] if text and items else [])]).strip())
                parts[-1] = (parts[-1] + "\n\n" if text and items else parts[-1]) + "\n".join(f"- {i}" for i in items)
            case Table():
                parts.append(_table(block))
            case Picture(name, _, caption):
                parts.append(f"![{caption}]({name}.png)\n\n{caption}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(table: Table) -> str:
    lines = [table.caption, ""] if table.caption else []
    lines.append("| " + " | ".join(_escape(c) for c in table.columns) + " |")
    lines.append("| --- |" + " ---: |" * (len(table.columns) - 1))
    for i, row in enumerate(table.rows):
        cells = [f"**{_escape(v)}**" if (i, j) in table.bold and v else _escape(v) for j, v in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
