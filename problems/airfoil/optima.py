"""Best known designs for the default limits, each with the networks it belongs to; written by `best_known`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OPTIMA", "Optimum"]


@dataclass(frozen=True)
class Optimum:
    """A design `x` (18,), strictly feasible, its `value`, how it was found, and `weights_digest` of its networks."""

    value: float
    x: tuple[float, ...]
    how: str
    fingerprint: str


OPTIMA: dict[tuple[str, tuple[str, ...]], Optimum] = {
    ("cd", ("large",)): Optimum(
        value=-3.7487470764015502,
        x=(
            0.060717642989391495,
            0.11647367219042504,
            0.1954939106600436,
            0.33640284144761173,
            0.06718183315551812,
            0.5,
            0.47779629467424456,
            0.2140610925309237,
            -0.060263089592205867,
            -0.011510033816124273,
            -0.08930255339477355,
            -0.04276617117530854,
            -0.09387221154638527,
            -0.10562511784173172,
            -0.09971903505680278,
            -0.04454486186408382,
            0.36676242698968403,
            3.171535876037364,
        ),
        how="many-start SLSQP with exact gradients, 341 of 400 starts",
        fingerprint="681b1f7cb7871ef03b22ab7585ac25d5",
    ),
    ("ld", ("large",)): Optimum(
        value=27.549394035225408,
        x=(
            0.27366611081255576,
            0.2649760858598788,
            0.5,
            0.5,
            0.3549232073361591,
            0.02139398290567124,
            0.326448786592978,
            0.19668147004562825,
            -0.1401555833546747,
            0.14429367472107837,
            -0.5,
            -0.25106371143196843,
            0.10146894202339884,
            0.16376779354242174,
            0.23084123179512048,
            -0.063227688576705,
            0.615009087447458,
            9.81867294778168,
        ),
        how="many-start SLSQP with exact gradients, 6 of 1000 starts; 306 of them end at 25.7084",
        fingerprint="681b1f7cb7871ef03b22ab7585ac25d5",
    ),
    ("cd", ("large", "xxlarge")): Optimum(
        value=-3.841566767901388,
        x=(
            0.07595112394142847,
            0.1618539066682404,
            0.15314863235235904,
            0.3943893663031546,
            0.04309545134159048,
            0.5,
            0.3872440174576333,
            0.20230223081883705,
            -0.06952323919905959,
            0.03462894594386722,
            -0.09516967596963039,
            -0.17917654997534732,
            0.06259701666901285,
            -0.1897350793445312,
            -0.03764089579334938,
            -0.056715473911231266,
            0.2910406923608563,
            3.2845617866293435,
        ),
        how="many-start SLSQP on the epigraph form, 37 of 60 starts",
        fingerprint="681b1f7cb7871ef03b22ab7585ac25d5+7e19e4f4ece322344c1f6857350df65e",
    ),
}
