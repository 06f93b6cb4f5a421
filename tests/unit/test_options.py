"""Options: one checker, messages with name, rule and value."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from dfoattack.attacks import by_name
from dfoattack.errors import OptionError
from dfoattack.options import SEARCHES, Options
from dfoattack.schedule import searches_of

WRONG: list[tuple[str, Any, str]] = [
    ("poll", "n", "'n+1' or '2n'"),
    ("opportunistic", 1, "True or False"),
    ("speculative", None, "True or False"),
    ("covering", "yes", "True or False"),
    ("restarts", 0, "True or False"),
    ("block_size", 0, "an integer >= 1"),
    ("block_size", 2.0, "an integer >= 1"),
    ("block_size", True, "an integer >= 1"),
    ("covering_pool", 7, "an integer >= 8"),
    ("covering_fresh", 0, "an integer >= 1"),
    ("covering_fresh", 513, "at most `covering_pool` = 512"),
    ("covering_quota", -1, "an integer >= 0"),
    ("covering_quota", 0.5, "an integer >= 0"),
    ("attack_skips_max", -1, "an integer >= 0"),
    ("attack_sleep_max", 0, "an integer >= 1"),
    ("certificate_points", 99, "an integer >= 100"),
    ("frame_size_min", 0.0, "in (0, 1)"),
    ("frame_size_min", 1.0, "in (0, 1)"),
    ("frame_size_min", math.nan, "in (0, 1)"),
    ("frame_size_min", "small", "a number"),
    ("covering_radius", 0.0, "positive and finite"),
    ("covering_radius", math.inf, "positive and finite"),
    ("attack_radius_init", -1.0, "positive and finite"),
    ("attack_radius_min", 0.0, "in (0, attack_radius_init] = (0, 1.0]"),
    ("attack_radius_min", 1.5, "in (0, attack_radius_init] = (0, 1.0]"),
    ("gradient_cost", 0.0, "positive and finite"),
    ("gradient_cost", math.nan, "positive and finite"),
    ("h_max_init", 0.0, "positive"),
    ("h_max_init", math.nan, "positive"),
    ("infeasible_margin", -0.1, "non-negative and finite"),
    ("certificate_beta", 1.0, "in (0, 1)"),
    ("timeout", 0.0, "positive or None"),
    ("noise", "much", "None, 'auto' or a positive number"),
    ("noise", 0.0, "None, 'auto' or a positive number"),
    ("noise", True, "None, 'auto' or a positive number"),
    ("noise", math.inf, "None, 'auto' or a positive number"),
    ("timeout", math.nan, "positive or None"),
    ("frame_size_init", 0.0, "positive and finite"),
    ("frame_size_init", (1.0, -1.0), "positive and finite"),
    ("frame_size_init", math.inf, "positive and finite"),
    ("frame_size_init", "1", "positive and finite"),
    ("searches", ("models",), f"a tuple of different names among {SEARCHES}"),
    ("searches", ("model", "model"), f"a tuple of different names among {SEARCHES}"),
    ("searches", ("model", 3), f"a tuple of different names among {SEARCHES}"),
    ("searches", None, f"a tuple of different names among {SEARCHES}"),
    ("searches", True, f"a tuple of different names among {SEARCHES}"),
]


@pytest.mark.parametrize(("name", "value", "rule"), WRONG)
def test_values_out_of_range_are_refused_by_name_rule_and_value(name: str, value: Any, rule: str) -> None:
    with pytest.raises(OptionError) as caught:
        Options.make({name: value})
    assert str(caught.value) == f"`{name}` must be {rule}, got {value!r}."


@pytest.mark.parametrize(
    ("name", "near"),
    [("bloc_size", "block_size"), ("atacks", "attacks"), ("frame_size", "frame_size_min"), ("zzz", None)],
)
def test_unknown_names_propose_the_nearest(name: str, near: str | None) -> None:
    with pytest.raises(OptionError, match=f"Unknown option `{name}`") as caught:
        Options.make({name: 1})
    assert ("Did you mean" in str(caught.value)) == (near is not None)
    assert near is None or f"`{near}`" in str(caught.value)
    assert "Options.help()" in str(caught.value)


def test_what_makes_options() -> None:
    assert Options.make(None) == Options() == Options.make({}) == Options.make(Options())
    assert Options.make({"poll": "2n"}).poll == "2n"
    for wrong in ("2n", [("poll", "2n")], 3):
        with pytest.raises(OptionError, match="`options` must be a mapping or"):
            Options.make(wrong)  # type: ignore[arg-type]


def test_sequences_become_tuples() -> None:
    options = Options.make({"attacks": ["sign"], "frame_size_init": [1, 2.0]})
    assert options.attacks == ("sign",) and options.frame_size_init == (1.0, 2.0)
    assert Options.make({"attacks": "sign"}).attacks == ("sign",)
    assert hash(options) == hash(Options.make({"attacks": ("sign",), "frame_size_init": (1.0, 2.0)}))


def test_searches_by_name() -> None:
    assert Options.make({"searches": "model"}).searches == ("model",)
    assert Options.make({"searches": ["vns", "cma"]}).searches == ("vns", "cma")
    assert Options.make({"searches": ()}).searches == ()
    for name in SEARCHES:
        assert [search.name for search in searches_of(Options.make({"searches": name}))] == [name]
    with pytest.raises(OptionError, match="Unknown option `models`"):
        Options.make({"models": True})


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().poll = "2n"  # type: ignore[misc]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"h_max_init": 3.5, "timeout": 2.0, "frame_size_init": (0.1, 0.2), "attacks": ("pgd",), "covering_quota": 0},
        {"h_max_init": math.inf, "attacks": (), "frame_size_init": 0.1 + 0.2},
        {"frame_size_min": np.float64(1e-7)},
        {"searches": ("model", "vns")},
        {"searches": ()},
        {"noise": "auto"},
        {"noise": 0.25},
    ],
)
def test_options_survive_json(given: dict[str, Any]) -> None:
    options = Options.make(given)
    text = json.dumps(options.to_dict(), allow_nan=False)
    assert Options.from_dict(json.loads(text)) == options


def test_operators_given_as_objects_are_written_as_text() -> None:
    options = Options.make({"attacks": (by_name("sign"), "l2")})
    written = options.to_dict()["attacks"]
    assert written == ["SignLadder(active=0.001)", "l2"]


def test_help_names_every_option_with_its_default() -> None:
    text = Options.help()
    lines = text.splitlines()
    fields = dataclasses.fields(Options)
    assert len(lines) == len(fields)
    for line, field in zip(lines, fields, strict=True):
        assert line.startswith(field.name) and repr(field.default) in line
        assert len(line.split(repr(field.default), 1)[1].strip()) > 10, "and says what it means"
