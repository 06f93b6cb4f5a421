"""Several objectives: problem, archive, selection, result, pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dfoattack as da
from dfoattack.cache import History
from dfoattack.mesh import Mesh
from dfoattack.multi import model, selection
from dfoattack.multi.archive import Archive, added, front_values, progress, rows_of, with_threshold
from dfoattack.multi.models import QuadraticModels
from dfoattack.multi.plots import draw_front
from tests.kernels import naive

coarse = st.integers(0, 5).map(float)


def two(y: np.ndarray) -> np.ndarray:
    return np.stack([(y**2).sum(1), ((y - 1) ** 2).sum(1)], axis=1)


def problem(**changes: Any) -> da.MultiProblem:
    arguments: dict[str, Any] = {"objective": two, "sense": ("minimize", "minimize"), "space": [(-2, 2)] * 2}
    return da.MultiProblem(**{**arguments, **changes})


# ------------------------------------------------------------------------------------------------------------- the problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sense": "minimize"}, "`sense` must be a sequence"),
        ({"sense": ("minimize",)}, "`sense` must name 2 to 4 objectives, got 1"),
        ({"sense": ("minimize",) * 5}, "got 5"),
        (
            {"sense": ("minimize", "minimise")},
            "`sense[1]` must be 'minimize' or 'maximize', got 'minimise'. Did you mean",
        ),
        ({"objective_names": ("a",)}, "`objective_names` must be q = 2 different names"),
        ({"objective_names": ("a", "a")}, "`objective_names` must be q = 2 different names"),
        ({"x0": [3.0, 0.0]}, "`x0`"),
    ],
)
def test_bad_problems(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(da.ProblemError) as caught:
        problem(**changes)
    assert words in str(caught.value)


def test_wrong_number_of_objectives_is_named() -> None:
    with pytest.raises(da.ProblemError, match=r"q = 3 objectives expected, shape \(k, q\), got 2"):
        da.solve_multi(problem(sense=("minimize",) * 3), budget=10)


def test_one_objective_is_sent_elsewhere() -> None:
    single = da.Problem(objective=lambda y: (y**2).sum(1), space=[(-1, 1)])
    with pytest.raises(da.ProblemError, match="must be a MultiProblem"):
        da.solve_multi(single, budget=10)  # type: ignore[arg-type]


def test_reference_is_checked() -> None:
    for bad in ([1.0], [1.0, math.nan], "x"):
        with pytest.raises(da.OptionError, match="`reference`"):
            da.solve_multi(problem(), budget=10, reference=bad)


# ------------------------------------------------------------------------------------------------------------- the archive


def history_of(F: np.ndarray, H: np.ndarray) -> History:
    """Rows with objectives F (N, q) and violations H (N,); infinite violations are failed points."""
    N, n = F.shape[0], 1
    usable = np.where(np.isfinite(H), 0.0, np.inf)
    status = np.where(np.isfinite(H), 0, 1).astype(np.int8)
    X = np.arange(float(N))[:, None]
    return History.empty(n).extended(X, F[:, 0], usable, H, np.zeros(N), H, F[:, 1:], status, 2, 1)


def mesh() -> Mesh:
    return Mesh.start(np.ones(1), np.zeros(1), np.zeros(1))


def filled(F: np.ndarray, H: np.ndarray, block: int) -> tuple[Archive, History, list[int]]:
    """The archive after the rows came in blocks, and what each of them did."""
    archive, done = Archive(), []
    history = history_of(F[:0], H[:0])
    for start in range(0, F.shape[0], block):
        stop = min(F.shape[0], start + block)
        history = history_of(F[:stop], H[:stop])
        meshes, moves = [mesh()] * (stop - start), history.X[start:]
        archive, types = added(archive, history, F.shape[1], start, meshes, moves, np.full(1, 10.0), True)
        done += types.tolist()
    return archive, history, done


@given(arrays(float, (9, 3), elements=coarse), st.integers(1, 9))
def test_feasible_archive_is_the_nondominated_set(F: np.ndarray, block: int) -> None:
    archive, history, _ = filled(F, np.zeros(9), block)
    assert np.sort(rows_of(archive.feas)).tolist() == np.flatnonzero(naive.nondominated(F)).tolist()
    assert not archive.inf
    assert front_values(history, archive, 3).shape == (len(archive.feas), 3)


@given(arrays(float, (9, 2), elements=coarse), arrays(float, 9, elements=st.sampled_from([0.0, 1.0, 2.0, math.inf])))
def test_infeasible_archive(F: np.ndarray, H: np.ndarray) -> None:
    archive, _, _ = filled(F, H, 1)
    feasible = F[H == 0.0]
    for row in range(9):
        useful = 0.0 < H[row] < math.inf and not any(np.all(f <= F[row]) for f in feasible)
        rivals = [j for j in range(9) if 0.0 < H[j] < math.inf and j != row]
        lost = any(
            np.all(F[j] <= F[row]) and H[j] <= H[row] and (j < row or np.any(F[j] < F[row]) or H[j] < H[row])
            for j in rivals
        )
        assert (row in rows_of(archive.inf)) == (useful and not lost)


def test_what_a_point_does() -> None:
    F = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0], [0.0, 0.0], [5.0, 5.0]])
    archive, _, done = filled(F, np.zeros(5), 1)
    assert done == [2, 1, 1, 2, 0]
    assert rows_of(archive.feas).tolist() == [3]
    parent = mesh()
    assert archive.feas[0].mesh.size > parent.size  # it dominates: the frame it inherits is enlarged
    assert progress(np.array([-1.0, 1.0]), F[:3]) == 1.0  # ranges are 2
    assert progress(np.array([3.0, 3.0]), F[:3]) < 0.0
    assert progress(F[0], F[:0]) == math.inf


def test_threshold_never_rises() -> None:
    F, H = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([1.0, 4.0])
    archive, history, _ = filled(F, H, 2)
    assert with_threshold(archive, history).h_max == 4.0
    low = with_threshold(Archive(archive.feas, archive.inf[:1], 3.0), history)
    assert low.h_max == 1.0
    assert with_threshold(Archive(archive.feas, archive.inf, 0.5), history).h_max == 0.5


# --------------------------------------------------------------------------------------------------------------- selection


def test_gaps_of_two_objectives() -> None:
    G = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.5, 0.5]])
    size, near = selection.gaps(G)
    assert np.argsort(-size).tolist()[0] == 1  # an end counts its one distance twice
    assert near[0, 0] == 2 and near[2, 0] == 3 and near[3, 0] == 1
    lone, none = selection.gaps(G[:1])
    assert lone.tolist() == [1.0] and none.shape == (1, 0)


def test_gaps_of_three_objectives() -> None:
    G = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1], [1.0, 1.0, 1.0]])
    size, near = selection.gaps(G)
    assert int(np.argmax(size)) == 4 and near.shape == (5, 3) and 4 not in near[0]


def test_emptiest_direction() -> None:
    G = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])
    draws = np.array([[1.0, 1.0, 1e-9], [1e-9, 1e-9, 2.0], [2.0, 1e-9, 1e-9]])
    i, j, aim = selection.emptiest(G, [0, 1, 2], draws)
    assert aim.tolist() == pytest.approx([0.0, 0.0, 1.0], abs=1e-6) and i != j
    assert selection.emptiest(G, [1], draws)[0] == 1


def test_chebyshev_minimiser_balances_its_terms() -> None:
    H = np.array([2.0 * np.eye(2)] * 2)
    g = np.array([[0.0, 0.0], [-2.0, -2.0]])
    models = QuadraticModels(np.array([0.0, 2.0]), g, H)  # |s|^2 and |s - 1|^2
    box = np.full(2, 3.0)
    s = model.chebyshev(models, np.zeros(2), np.ones(2), model.Limits.box(-box, box))
    assert s == pytest.approx([0.5, 0.5], abs=1e-3)
    first = model.chebyshev(models, np.zeros(2), np.array([1.0, 1e-6]), model.Limits.box(-box, box))
    assert first == pytest.approx([0.0, 0.0], abs=2e-2)


# ------------------------------------------------------------------------------------------------------------------ result


@pytest.fixture(scope="module")
def result() -> da.FrontResult:
    return da.solve_multi(problem(), budget=80, seed=1)


def test_result_is_consistent(result: da.FrontResult) -> None:
    records = result.records
    assert len(records) == result.nfev == 80 and result.reason == da.StopReason.BUDGET and result.success
    keep = naive.nondominated(records.fun)
    assert sorted(result.F.tolist()) == sorted(records.fun[keep].tolist())
    assert np.all(np.diff(result.F[:, 0]) >= 0.0)
    assert np.array_equal(records.x[result.rows], result.X) and np.array_equal(two(result.X), result.F)
    assert result.hypervolume == pytest.approx(naive.hypervolume(result.F, result.reference))
    assert result.hypervolume_at([4.0, 4.0]) == da.hypervolume(result.F, [4.0, 4.0], result.sense)
    assert set(records.step) <= {"start", "single", "speculative", "descent", "model", "bridge", "poll", "covering"}


def test_result_tells(result: da.FrontResult) -> None:
    text = str(result)
    for word in ("Budget of 80", f"{len(result)} points", "hypervolume", "within (", "no evaluated point dominates"):
        assert word in text


def test_certificate_claims_no_more_than_was_polled(result: da.FrontResult) -> None:
    certificate = result.certificate
    assert certificate.polled.shape == certificate.frame_size.shape == (len(result),)
    # A frame falls only after a failed iteration; a complete poll belongs to a frame at least as large as the present one.
    assert np.all(certificate.polled >= certificate.frame_size)
    none = da.FrontCertificate(np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    assert "not certified" in none.text


def test_picture(result: da.FrontResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result.plot(tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 1000
    figure = draw_front(result)
    assert figure.axes[0].get_xlabel() == "f0 (min)"
    three = da.solve_multi(
        problem(objective=lambda y: np.stack([y[:, 0], y[:, 1], -y.sum(1)], axis=1), sense=("minimize",) * 3), budget=30
    )
    assert len(draw_front(three).axes) == 1


def test_four_objectives_have_no_picture() -> None:
    four = problem(objective=lambda y: np.hstack([two(y), -two(y)]), sense=("minimize",) * 4)
    found = da.solve_multi(four, budget=25)
    assert found.F.shape[1] == 4 and found.hypervolume > 0.0
    with pytest.raises(da.OptionError, match="2 or 3 objectives, got 4"):
        draw_front(found)
