"""Steps by themselves: what poll, speculative, attack and covering propose for states made by a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.attacks import by_name
from dfoattack.solver import Solver
from dfoattack.state import OperatorCredit, Setup, SolverState
from dfoattack.steps.attack import Attack, AttackMemo
from dfoattack.steps.base import Outcome, Proposal
from dfoattack.steps.covering import QUOTA_BLOCK, Ball, Covering
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.speculative import MAX_STREAK, Speculative


def begun(calls: int = 1, n: int = 3, **more: Any) -> Solver:
    """A solver after so many ask/tell pairs, the start included."""
    settings: dict[str, Any] = dict(
        objective=lambda y: (y**2).sum(axis=1), space=[(-3, 3)] * n, x0=np.full(n, 1.25), sense="minimize"
    )
    options = more.pop("options", {})
    solver = Solver(da.Problem(**{**settings, **more}), options, budget=1000, seed=2)
    for _ in range(calls):
        solver.ask()
        solver.tell(solver.evaluate())
    return solver


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def parts(solver: Solver) -> tuple[Setup, SolverState]:
    return solver.setup, solver.state


# ------------------------------------------------------------------------------------------------ poll


@pytest.mark.parametrize(("poll", "expected"), [("n+1", 3), ("2n", 6)])
def test_a_poll_has_so_many_directions(poll: str, expected: int) -> None:
    setup, state = parts(begun(options={"poll": poll}))
    proposal = Poll().propose(setup, state, rng(), None)
    assert proposal.X.shape == (expected, 3) and proposal.on_mesh.all()
    assert (proposal.origins == state.history.X[0]).all()
    assert state.mesh is not None
    steps = (proposal.X - proposal.origins) / state.mesh.mesh_size
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert (np.abs(proposal.X - proposal.origins) <= state.mesh.frame_size * (1 + 1e-12)).all()


def test_the_poll_goes_downhill_first_where_a_gradient_is_known() -> None:
    setup, state = parts(begun())
    gradient = np.array([1.0, -2.0, 0.5])
    state = evolve(state, attack=evolve(state.attack, gradient=gradient, row=0))
    proposal = Poll().propose(setup, state, rng(), None)
    slopes = (proposal.X - proposal.origins) @ gradient
    assert (slopes <= 0.0).all() and (np.diff(slopes) >= 0.0).all()
    assert proposal.memo.shape == (3, 3)


def test_a_gradient_of_another_point_is_not_used() -> None:
    setup, state = parts(begun())
    plain = Poll().propose(setup, state, rng(), None)
    stale = evolve(state, attack=evolve(state.attack, gradient=np.ones(3), row=7))
    assert Poll().propose(setup, stale, rng(), None).X.tobytes() == plain.X.tobytes()


def test_the_poll_follows_the_last_success() -> None:
    setup, state = parts(begun())
    assert state.mesh is not None
    state = evolve(state, move=np.array([0.3, 0.0, -0.6]))
    proposal = Poll().propose(setup, state, rng(), None)
    D = (proposal.X - proposal.origins) / state.mesh.scale
    cosines = D @ (state.move / state.mesh.scale) / np.sqrt((D**2).sum(axis=1))
    assert (cosines >= 0.0).all() and (np.diff(cosines) <= 1e-12).all()


def test_nothing_is_polled_once_converged() -> None:
    setup, state = parts(begun())
    assert len(Poll().propose(setup, evolve(state, floored=True), rng(), None).X) == 0


def test_draws_of_the_poll_do_not_depend_on_its_outcome() -> None:
    """2n normals whatever happens, so that runs stay aligned."""
    setup, state = parts(begun())
    ends = []
    for changed in (state, evolve(state, floored=True), evolve(state, move=np.ones(3))):
        generator = rng()
        Poll().propose(setup, changed, generator, None)
        ends.append(generator.random())
    expected = rng()
    expected.standard_normal(6)
    assert set(ends) == {expected.random()}


def test_the_completion_needs_a_failed_poll() -> None:
    setup, state = parts(begun())
    assert len(PollCompletion().propose(setup, state, rng(), None).X) == 0
    memo = Poll().propose(setup, state, rng(), None).memo
    failed = Poll().update(setup, state, Outcome(memo, 1, 4))
    assert failed.kept is memo
    assert len(PollCompletion().propose(setup, failed, rng(), None).X) >= 1
    assert PollCompletion().update(setup, failed, Outcome(None, 4, 5)).kept is None
    assert Poll().update(setup, state, Outcome(memo, 1, 2, success=2, row=1)).kept is None


# ------------------------------------------------------------------------------------------------ speculative


def test_speculation_repeats_the_step_then_doubles_it() -> None:
    setup, state = parts(begun())
    step, move = Speculative(), np.array([-0.5, 0.0, 0.5])
    assert len(step.propose(setup, state, rng(), None).X) == 0
    moved = evolve(state, move=move, moved=True)
    x = state.history.X[state.centre]
    np.testing.assert_allclose(step.propose(setup, moved, rng(), None).X, [x + move], atol=0.26)
    assert state.mesh is not None
    fine = evolve(moved, mesh=evolve(state.mesh, mesh_size=np.full(3, 1e-3)), streak=1)
    np.testing.assert_allclose(step.propose(setup, fine, rng(), None).X, [x + 2.0 * move], atol=1e-3)
    assert len(step.propose(setup, evolve(moved, streak=MAX_STREAK), rng(), None).X) == 0
    assert step.update(setup, moved, Outcome(None, 1, 2, success=2, row=1)).streak == 1
    assert step.update(setup, evolve(moved, streak=3), Outcome(None, 1, 2)).streak == 0


def test_speculation_can_be_switched_off() -> None:
    setup, state = parts(begun(options={"speculative": False}))
    moved = evolve(state, move=np.ones(3), moved=True)
    assert len(Speculative().propose(setup, moved, rng(), None).X) == 0


# ------------------------------------------------------------------------------------------------ covering


def test_covering_only_follows_failure() -> None:
    setup, state = parts(begun())
    assert len(Covering().propose(setup, evolve(state, success=2), rng(), None).X) == 0
    assert len(Covering().propose(setup, state, rng(), None).X) == 1
    setup, state = parts(begun(options={"covering": False}))
    assert len(Covering().propose(setup, state, rng(), None).X) == 0


def test_covering_trials_stay_in_ball_and_box_and_alternate() -> None:
    setup, state = parts(begun(n=2, x0=[2.75, -2.5]))
    assert state.mesh is not None
    state = evolve(state, floored=True)
    proposal = Covering().propose(setup, state, rng(), None)
    assert len(proposal.X) == QUOTA_BLOCK
    D = (proposal.X - proposal.origins) / state.mesh.scale
    assert (np.sqrt((D**2).sum(axis=1)) <= 1.0 + np.sqrt(2.0) * (state.mesh.mesh_size / state.mesh.scale).max()).all()
    assert (proposal.X >= -3.0).all() and (proposal.X <= 3.0).all()
    assert proposal.on_mesh.tolist() == [False, True] * (QUOTA_BLOCK // 2)
    assert proposal.memo.cover.uniform_next


def test_the_quota_limits_the_last_block() -> None:
    setup, state = parts(begun(options={"covering_quota": 11}))
    late = evolve(state, floored=True, cover=evolve(state.cover, since=8))
    assert len(Covering().propose(setup, late, rng(), None).X) == 3


def test_the_radius_of_uniform_trials_is_distributed_as_it_should_be() -> None:
    """|c - x| / r is U^(1/n): a uniform variable after taking the n-th power."""
    for n in (1, 2, 5):
        solver = begun(n=n)
        assert solver.state.mesh is not None
        ball = Ball(solver.setup, np.zeros(n), solver.state.mesh)
        generator = rng(n)
        points = np.vstack([ball.uniform(generator, True)[0] for _ in range(1500)])
        share = np.sort(np.sqrt(((points / ball.scale) ** 2).sum(axis=1)) ** n)
        worst = np.abs(share - (np.arange(1500) + 0.5) / 1500).max()
        assert worst < 0.05, "Kolmogorov-Smirnov distance"
        assert abs(points.mean(axis=0)).max() < 0.1


def test_the_farthest_candidate_is_far() -> None:
    """T3: at least a fixed share of the largest hole of the ball, up to the mesh."""
    solver = begun(calls=60, n=2)
    setup, state = parts(solver)
    state = evolve(state, success=0, cover=evolve(state.cover, uniform_next=False))
    assert state.mesh is not None
    proposal = Covering().propose(setup, state, rng(3), None)
    V, x = state.history.X, proposal.origins[0]
    distance = np.sqrt((((V - proposal.X[0]) / state.mesh.scale) ** 2).sum(axis=1)).min()
    generator = rng(4)
    ball = Ball(setup, x, state.mesh)
    T = np.vstack([ball.uniform(generator, True)[0] for _ in range(800)])
    hole = np.sqrt((((T[:, None] - V[None]) / state.mesh.scale) ** 2).sum(axis=2)).min(axis=1).max()
    assert distance >= 0.7 * hole - 1.5 * (state.mesh.mesh_size / state.mesh.scale).max()


def test_the_pool_knows_exact_distances_whatever_step_made_the_points() -> None:
    solver = begun(n=2, calls=1, options={"searches": ()})
    checked = 0
    for _ in range(60):
        solver.ask()
        solver.tell(solver.evaluate())
        cover, mesh = solver.state.cover, solver.state.mesh
        if not len(cover.Y) or mesh is None:
            continue
        V = solver.state.history.X
        exact = (((cover.Y[:, None] - V[None]) / mesh.scale) ** 2).sum(axis=2).min(axis=1)
        inside = (((cover.Y - V[solver.state.centre]) / mesh.scale) ** 2).sum(axis=1) <= 1.0
        np.testing.assert_allclose(cover.d2[inside], exact[inside], rtol=1e-9, atol=1e-12)
        checked += 1
    assert checked > 20


def test_lattice_points_of_the_ball() -> None:
    space = da.Box([0, 0], [20, 20], integer=True)
    solver = begun(n=2, space=space, x0=[1, 10], options={"covering_radius": 1.5})
    assert solver.state.mesh is not None and solver.state.mesh.scale.tolist() == [2.0, 2.0]
    lattice = Ball(solver.setup, np.array([1.0, 10.0]), solver.state.mesh).lattice()
    assert lattice is not None
    grid = np.array([[i, j] for i in range(21) for j in range(21)], dtype=float)
    expected = grid[((grid - [1.0, 10.0]) ** 2).sum(axis=1) <= 9.0]
    assert {tuple(x) for x in lattice} == {tuple(x) for x in expected} and len(lattice) == len(expected)
    wide = begun(n=2, space=space, x0=[1, 10], options={"covering_radius": 40.0})
    assert wide.state.mesh is not None
    assert Ball(wide.setup, np.array([1.0, 10.0]), wide.state.mesh).lattice() is None


# ------------------------------------------------------------------------------------------------ attack


def attack_parts(*names: str) -> tuple[Attack, Solver]:
    solver = begun(objective_grad=lambda y: 2.0 * y, options={"attacks": names})
    return Attack([by_name(name) for name in names]), solver


def test_attacks_need_gradients_and_operators() -> None:
    attack, solver = attack_parts("sign")
    setup, state = parts(solver)
    assert len(attack.propose(setup, state, rng(), None).X) == 0
    assert len(attack.propose(setup, state, rng(), solver.evaluator.view()).X) == 2
    assert len(Attack([]).propose(setup, state, rng(), solver.evaluator.view()).X) == 0
    blind = begun()
    assert len(attack.propose(*parts(blind), rng(), blind.evaluator.view()).X) == 0


def outcome(radius: float, gain: float, row: int = 5, size: float = 1.0, operator: int = 0) -> Outcome:
    memo = AttackMemo(operator, radius, 0, None)
    return Outcome(memo, 1, 3, 2 if row >= 0 else 0, row, size if row >= 0 else 0.0, gain, 4.0)


def test_the_radius_grows_with_success_and_shrinks_with_failure() -> None:
    attack, solver = attack_parts("sign")
    setup, state = parts(solver)
    assert attack.update(setup, state, outcome(1.0, 0.5)).attack.radius == pytest.approx(1.3)
    assert attack.update(setup, state, outcome(1.0, 1e-5)).attack.radius == pytest.approx(1.1)
    assert attack.update(setup, state, outcome(1.0, 0.0, row=-1)).attack.radius == pytest.approx(0.25 / 1.3)
    tiny = attack.update(setup, state, outcome(1e-6, 0.0, row=-1)).attack.radius
    assert tiny == setup.options.attack_radius_min
    assert attack.update(setup, state, outcome(1.0, 0.5, size=1e9)).attack.radius == 1e3


def test_failing_operators_sleep_longer_and_longer() -> None:
    attack, solver = attack_parts("sign", "l2")
    setup, state = parts(solver)
    pauses = []
    for _ in range(9):
        state = attack.update(setup, state, outcome(1.0, 0.0, row=-1))
        pauses.append(state.attack.credits[0].sleeps_until - state.iteration - 1)
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert attack._choose(setup, state, 0) == 1, "the other one is awake"
    state = attack.update(setup, state, outcome(1.0, 0.0, row=-1, operator=1))
    assert attack._choose(setup, state, 0) == -1, "nobody is"
    woken = attack.update(setup, state, outcome(1.0, 0.4))
    assert woken.attack.credits[0].fails == 0 and attack._choose(setup, woken, 0) == 0


def test_each_operator_is_tried_once_then_the_best_one() -> None:
    attack, solver = attack_parts("sign", "l2", "pgd")
    setup, state = parts(solver)

    def with_credits(*credits: OperatorCredit) -> SolverState:
        return evolve(state, attack=evolve(state.attack, credits=credits))

    good, better, new = OperatorCredit(1.0, 2.0, 3), OperatorCredit(1.0, 1.0, 3), OperatorCredit()
    assert attack._choose(setup, state, 0) == 0
    assert attack._choose(setup, with_credits(good, new, new), 0) == 1
    assert attack._choose(setup, with_credits(good, better, new), 0) == 2
    assert attack._choose(setup, with_credits(good, better, good), 0) == 1


def test_an_attack_ends_an_iteration_only_after_a_sufficient_gain_and_not_for_ever() -> None:
    attack, solver = attack_parts("sign")
    setup, state = parts(solver)
    assert not attack.ends_iteration(setup, state, outcome(1.0, 0.9e-3))
    assert attack.ends_iteration(setup, state, outcome(1.0, 1.1e-3))
    assert attack.ends_iteration(setup, state, outcome(0.01, 1.1e-7)), "in units of the radius squared"
    assert not attack.ends_iteration(setup, state, outcome(1.0, 5.0, row=-1))
    for skips in range(setup.options.attack_skips_max + 1):
        again = evolve(state, attack=evolve(state.attack, skips=skips))
        assert attack.ends_iteration(setup, again, outcome(1.0, 1.0)) == (skips < setup.options.attack_skips_max)
        assert attack.update(setup, again, outcome(1.0, 1.0)).attack.skips == (
            skips + 1 if skips < setup.options.attack_skips_max else 0
        )


def test_an_empty_proposal_is_legal() -> None:
    nothing = Proposal.nothing(4)
    assert nothing.X.shape == nothing.origins.shape == (0, 4) and nothing.on_mesh.shape == (0,) and nothing.memo is None
