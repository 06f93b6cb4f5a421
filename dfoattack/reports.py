"""Texts about a run for people: the log of a result or of a run file as tables."""

from __future__ import annotations

import inspect
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from dfoattack.constraint_status import ConstraintRow, Group, constraint_rows
from dfoattack.errors import StoreError
from dfoattack.named_problems import NamedProblem, type_text
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.result import Records, Result
from dfoattack.run_record import RunRecord
from dfoattack.store_format import connect, guarded, read_meta
from dfoattack.summary import best_row, improvements, step_shares
from dfoattack.trials import Status

__all__ = ["described", "result_text", "run_file_text", "table"]

_PROGRESS_ROWS = 12
_MOST_VARIABLES = 12


def result_text(result: Result, problem: Problem) -> str:
    """What `solve` prints when it is done: the result, the steps, the constraints, and what is known of the truth."""
    records, sense = result.records, result.sense
    parts = [str(result), _steps(records, sense)]
    if result.best_index >= 0:
        parts.append(_constraints(result.constraints))
    parts.append(_truth(result, problem))
    return "\n\n".join(part for part in parts if part)


def run_file_text(path: str | os.PathLike[str]) -> str:
    """What `show` prints about a run file; reads it without changing it, also while the run goes on.

    Raises
    ------
    StoreError      it is not a run file, or cannot be read
    """
    record = RunRecord.read(path)
    meta = record.meta
    groups, open_session = _facts(record)
    records = _records(record, groups)
    sense = str(meta["sense"])
    best = best_row(records, sense)
    names = tuple(meta["names"])
    space = json.loads(_fingerprint(meta).get("space", "{}"))
    labels = {names[int(i)]: category["levels"] for i, category in space.get("categorical", {}).items()}
    parts = [_head(record, open_session), _best(records, best, names, labels), _progress(records, sense)]
    parts.append(_steps(records, sense))
    if best >= 0:
        parts.append(_constraints(constraint_rows(groups, records.constraints, best)))
    finish = record.finish
    certificate = "none yet: the run has not ended" if finish is None else str(finish.get("certificate", ""))
    parts.append("certificate\n" + "\n".join(f"  {line}" for line in certificate.splitlines()))
    return "\n\n".join(part for part in parts if part)


def described(named: NamedProblem) -> str:
    """What `list NAME` prints: the documentation of a problem, and the parameters that can be set."""
    target = named.target
    text = inspect.getdoc(target) if callable(target) else repr(target)
    hints, rows = named.hints, []
    for name, parameter in named.parameters.items():
        default = "required" if parameter.default is parameter.empty else repr(parameter.default)
        rows.append((name, default, type_text(hints[name]) if name in hints else ""))
    parameters = (
        f"parameters (--set name=value)\n{table(('name', 'default', 'value'), rows, left=3)}"
        if rows
        else "no parameters"
    )
    return f"{named.name}\n\n{text or 'It has no documentation.'}\n\n{parameters}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligned columns, the first `left` ones to the left; indented by two."""
    widths = [max(len(line[j]) for line in (header, *rows)) for j in range(len(header))]
    lines = []
    for line in (header, *rows):
        cells = [
            cell.ljust(w) if j < left else cell.rjust(w) for j, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


# ---------------------------------------------------------------- parts


def _head(record: RunRecord, open_session: bool) -> str:
    meta, counters = record.meta, record.counters
    user = meta.get("user") or {}
    params = ", ".join(f"{key}={value}" for key, value in (user.get("params") or {}).items())
    name = user.get("problem") or _fingerprint(meta).get("name") or "unnamed problem"
    goal = f"{meta['sense']}, {len(meta['names'])} variables"
    gradient_cost = Options.from_dict({"gradient_cost": meta["options"]["gradient_cost"]}).gradient_cost
    limit = (meta.get("extensions") or [meta.get("budget")])[-1]
    budget = "no budget" if limit is None else f"budget {limit:g}"
    state = "not ended: it is going on, or was killed" if open_session or record.finish is None else ""
    if record.finish is not None and not open_session:
        state = str(record.finish.get("message", record.finish.get("reason", "ended")))
    elif record.told_at.size:
        state += f"; last answer {max(0.0, time.time() - float(record.told_at[-1])):.0f} s ago"
    sessions = "1 session" if record.sessions == 1 else f"{record.sessions} sessions"
    rows = [
        ("run file", str(record.path)),
        ("problem", f"{name}{f' ({params})' if params else ''}: {goal}"),
        ("run", f"seed {meta.get('seed')}, {budget}, begun {meta.get('created')}, {sessions}, {record.elapsed:.1f} s"),
        ("state", state),
        (
            "counted",
            f"nfev {counters.nfev}, nphi {counters.nphi}, ngev {counters.ngev}, cost {counters.cost(gradient_cost):g}",
        ),
    ]
    if "gradients" in meta:
        rows.append(("gradients", meta["gradients"]))
    return "\n".join(f"{name:<9s} {text}" for name, text in rows)


def _best(records: Records, best: int, names: tuple[str, ...], labels: Mapping[str, Sequence[Any]]) -> str:
    if best < 0:
        return f"best      none: no point could be evaluated ({len(records)} failed)"
    violation = float(records.maxcv[best])
    state = "feasible" if violation <= 0.0 else f"NOT FEASIBLE, violation {violation:.3g}"
    x = records.x[best]
    shown = [
        f"{name} = {labels[name][int(value)] if name in labels else format(value, '.6g')}"
        for name, value in zip(names[:_MOST_VARIABLES], x, strict=False)
    ]
    more = f", ... ({x.shape[0]} values)" if x.shape[0] > _MOST_VARIABLES else ""
    return (
        f"best      f = {records.fun[best]:.10g} at evaluation {best + 1}, {state}\nx         {', '.join(shown)}{more}"
    )


def _progress(records: Records, sense: str) -> str:
    rows = improvements(records, sense)
    if not rows.size:
        return ""
    chosen = np.unique(np.linspace(0, rows.size - 1, min(rows.size, _PROGRESS_ROWS)).round().astype(np.int64))
    lines = []
    for row in rows[chosen]:
        violation = "feasible" if records.maxcv[row] <= 0.0 else f"{records.maxcv[row]:.3g}"
        lines.append((str(row + 1), f"{records.fun[row]:.10g}", violation, records.step[row]))
    title = "progress" if rows.size == chosen.size else f"progress ({chosen.size} of {rows.size} improvements)"
    return f"{title}\n{table(('evaluation', 'f', 'violation', 'step'), lines, left=0)}"


def _steps(records: Records, sense: str) -> str:
    shares = step_shares(records, sense)
    total = len(records)
    rows = [
        (
            share.step,
            str(share.points),
            f"{share.points / total:.0%}",
            str(share.failed) if share.failed else "-",
            str(share.improvements),
            "-" if math.isnan(share.gain) else f"{share.gain:.1%}",
        )
        for share in shares
    ]
    return (
        f"steps\n{table(('step', 'points', 'share', 'failed', 'improved', 'share of the gain'), rows)}" if rows else ""
    )


def _constraints(rows: Sequence[ConstraintRow]) -> str:
    lines = [(row.label, f"{row.value:.4g}", row.rule, row.group.kind, row.state) for row in rows]
    if not lines:
        return ""
    return f"constraints at the best point\n{table(('constraint', 'value', 'rule with tolerance', 'kind', ''), lines)}"


def _truth(result: Result, problem: Problem) -> str:
    rows: list[tuple[str, str]] = []
    known = problem.known
    if known is not None and math.isfinite(known.value) and result.feasible:
        ahead = problem.sign * (known.value - result.fun)
        gap = "equal" if ahead == 0.0 else f"{abs(ahead):.3g} {'better' if ahead > 0.0 else 'worse'}"
        rows.append(("known", f"{known.value:.8g} ({known.kind.replace('_', ' ')}); this result is {gap}"))
    told = result.trust is not None and not math.isnan(result.trust.verified)
    if problem.verify is not None and result.best_index >= 0 and not told:
        try:
            value = problem.verify(result.x)
            shown = f"{float(value):.8g}" if np.ndim(value) == 0 else str(value)
            rows.append(("verified", f"f = {shown} by the problem's own check at x"))
        except Exception as error:  # the run is paid for: a check that fails must not hide its result
            rows.append(("verified", f"not possible: {type(error).__name__}: {error}"))
    return "\n".join(f"{name:>12s}: {text}" for name, text in rows)


# ---------------------------------------------------------------- run files


def _fingerprint(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = meta.get("problem") or {}
    return found


def _facts(record: RunRecord) -> tuple[tuple[Group, ...], bool]:
    """The constraints with their widths, and whether the last session has no end on file."""

    def look(mode: str) -> tuple[Any, bool]:
        with closing(connect(record.path, mode)) as connection:
            last = connection.execute("SELECT ended FROM sessions ORDER BY id DESC LIMIT 1").fetchone()
            return read_meta(connection).get("trait:shapes"), last is not None and last[0] is None

    try:
        shapes, open_session = guarded(record.path, "read", lambda: look("ro"))
    except StoreError:  # read-only media, where SQLite cannot make the index of its journal
        shapes, open_session = guarded(record.path, "read", lambda: look("immutable"))
    constraints = json.loads(_fingerprint(record.meta).get("constraints", "[]"))
    widths = [] if shapes is None else shapes["widths"]
    groups = tuple(
        Group(name, kind, float(tol), int(q), "equality" in rest)
        for (name, kind, tol, _, *rest), q in zip(constraints, widths, strict=False)
    )
    return groups, open_session


def _records(record: RunRecord, groups: Sequence[Group]) -> Records:
    """The log of a result, from what is on file."""
    tol = np.array([group.tol for group in groups for _ in range(group.width)])
    equality = np.array([group.equality for group in groups for _ in range(group.width)], dtype=bool)
    ok = record.status == Status.OK
    if record.C.shape[1] == tol.shape[0]:
        excess = np.max(np.where(equality, np.abs(record.C), record.C) - tol, axis=1, initial=0.0)
        maxcv = np.where(ok, excess, np.inf)
    else:
        maxcv = np.full(record.f.shape[0], np.inf)
    return Records(record.X, record.f, record.C, maxcv, record.status, record.step, record.iteration)
