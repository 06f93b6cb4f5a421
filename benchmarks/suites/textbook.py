"""Small constrained problems with optima known from print: g01-g13 and some of Hock and Schittkowski.

The g functions start at random points; those of Hock and Schittkowski at their own.
"""

from __future__ import annotations

import math

from benchmarks.suites import g_functions as g
from benchmarks.suites import hs_functions as hs
from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.written import Written, dimensions_of, listing
from dfoattack import Problem

PROBLEMS: dict[str, Written] = {
    "g01": Written(
        objective=g.g01,
        constraints=g.c01,
        lower=(0,) * 13,
        upper=(1,) * 9 + (100,) * 3 + (1,),
        published="-15",
        x=(1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 1),
        exact=True,
    ),
    "g02": Written(
        objective=g.g02,
        constraints=g.c02,
        lower=(0,) * 20,
        upper=(10,) * 20,
        published="-0.803619104126",
        x=tuple(
            float(v)
            for v in (
                "3.16246062854345 3.1283314157918 3.09479213576714 3.06145058316059 3.02792918868189 "
                "2.99382607459639 2.95866872195557 2.92184223922129 0.494825111887814 0.488357111838054 "
                "0.482316428322312 0.476644748770345 0.47129550621774 0.466230990119386 0.461420052023874 "
                "0.456836650056506 0.452458774414253 0.448267620427101 0.444247010588975 0.440382856828284"
            ).split()
        ),
    ),
    "g03": Written(
        objective=g.g03,
        constraints=g.c03,
        lower=(0,) * 10,
        upper=(1,) * 10,
        published="-1.000500100",
        x=(
            0.316243577009873,
            0.316243577009873,
            0.316243577009873,
            0.316243577009873,
            0.316243577009873,
            0.316243577009873,
            0.316243577009873,
            0.316243577009873,
            0.31624357700987,
            0.316243577009873,
        ),
        exact=True,
    ),
    "g04": Written(
        objective=g.g04,
        constraints=g.c04,
        lower=(78, 33, 27, 27, 27),
        upper=(102, 45, 45, 45, 45),
        published="-30665.5386718",
        x=(78, 33, 29.9952560256816, 45, 36.7758129057882),
    ),
    "g05": Written(
        objective=g.g05,
        constraints=g.c05,
        lower=(0, 0, -0.55, -0.55),
        upper=(1200, 1200, 0.55, 0.55),
        published="5126.4967140",
        x=(679.945148297028709, 1026.06697600004691, 0.118876369094410433, -0.39623348521517826),
    ),
    "g06": Written(
        objective=g.g06,
        constraints=g.c06,
        lower=(13, 0),
        upper=(100, 100),
        published="-6961.8138756",
        x=(14.0950000000001, 0.842960789215684),
    ),
    "g07": Written(
        objective=g.g07,
        constraints=g.c07,
        lower=(-10,) * 10,
        upper=(10,) * 10,
        published="24.306209",
        x=(
            2.17199634958893,
            2.36368302059443,
            8.77392573933463,
            5.0959844598093,
            0.99065475328643,
            1.43057393618657,
            1.32164417155781,
            9.82872577542819,
            8.28009160148605,
            8.37592664320889,
        ),
    ),
    "g08": Written(
        objective=g.g08,
        constraints=g.c08,
        lower=(0, 0),
        upper=(10, 10),
        published="-0.0958250414180",
        x=(1.2279713473588, 4.24537336326843),
    ),
    "g09": Written(
        objective=g.g09,
        constraints=g.c09,
        lower=(-10,) * 7,
        upper=(10,) * 7,
        published="680.63005737",
        x=(
            2.3304995678786,
            1.95137235783316,
            -0.477540033383733,
            4.36572619593991,
            -0.624487073796307,
            1.03813097870886,
            1.59422668844146,
        ),
    ),
    "g10": Written(
        objective=g.g10,
        constraints=g.c10,
        lower=(100, 1000, 1000, 10, 10, 10, 10, 10),
        upper=(10000, 10000, 10000, 1000, 1000, 1000, 1000, 1000),
        published="7049.2480205",
        x=(
            579.306684937988,
            1359.97067832724,
            5109.97065726517,
            182.017699623911,
            295.601173709422,
            217.982300376032,
            286.416525914433,
            395.601173709408,
        ),
    ),
    "g11": Written(
        objective=g.g11,
        constraints=g.c11,
        lower=(-1, -1),
        upper=(1, 1),
        published="0.7499",
        x=(math.sqrt(0.4999), 0.5),
        exact=True,
    ),
    "g12": Written(
        objective=g.g12,
        constraints=g.c12,
        lower=(0,) * 3,
        upper=(10,) * 3,
        published="-1",
        x=(5, 5, 5),
        exact=True,
    ),
    "g13": Written(
        objective=g.g13,
        constraints=g.c13,
        lower=(-2.3, -2.3, -3.2, -3.2, -3.2),
        upper=(2.3, 2.3, 3.2, 3.2, 3.2),
        published="0.053941514042",
        x=(-1.71714224003, 1.59572124049468, 1.8272502406271, -0.763659881912867, -0.76365986736498),
    ),
    "hs22": Written(
        objective=hs.f22,
        constraints=hs.c22,
        lower=(-10,) * 2,
        upper=(10,) * 2,
        published="1",
        x=(1, 1),
        start=(2, 2),
        exact=True,
    ),
    "hs24": Written(
        objective=hs.f24,
        constraints=hs.c24,
        lower=(0, 0),
        upper=(10, 10),
        published="-1",
        x=(3, math.sqrt(3.0)),
        start=(1, 0.5),
        exact=True,
    ),
    "hs29": Written(
        objective=hs.f29,
        constraints=hs.c29,
        lower=(-10,) * 3,
        upper=(10,) * 3,
        published="-22.62741700",
        x=(4, 2.82842712474619, 2),
        start=(1, 1, 1),
        exact=True,
    ),
    "hs34": Written(
        objective=hs.f34,
        constraints=hs.c34,
        lower=(0,) * 3,
        upper=(100, 100, 10),
        published="-0.83403245",
        x=(math.log(math.log(10.0)), math.log(10.0), 10),
        start=(0, 1.05, 2.9),
        exact=True,
    ),
    "hs35": Written(
        objective=hs.f35,
        constraints=hs.c35,
        lower=(0,) * 3,
        upper=(10,) * 3,
        published="0.1111111111",
        x=(4 / 3, 7 / 9, 4 / 9),
        start=(0.5, 0.5, 0.5),
        exact=True,
    ),
    "hs36": Written(
        objective=hs.f29,
        constraints=hs.c36,
        lower=(0,) * 3,
        upper=(20, 11, 42),
        published="-3300",
        x=(20, 11, 15),
        start=(10, 10, 10),
        exact=True,
    ),
    "hs43": Written(
        objective=hs.f43,
        constraints=hs.c43,
        lower=(-10,) * 4,
        upper=(10,) * 4,
        published="-44",
        x=(0, 1, 2, -1),
        start=(0, 0, 0, 0),
        exact=True,
    ),
    "hs65": Written(
        objective=hs.f65,
        constraints=hs.c65,
        lower=(-4.5, -4.5, -5),
        upper=(4.5, 4.5, 5),
        published="0.953528857",
        x=(3.65046172030113, 3.65046172307421, 4.62041756088893),
        start=(-4.5, 4.5, 0),
    ),
    "hs66": Written(
        objective=hs.f66,
        constraints=hs.c34,
        lower=(0,) * 3,
        upper=(100, 100, 10),
        published="0.518163274",
        x=(0.184126472714004, 1.20216785491347, 3.32732226176376),
        start=(0, 1.05, 2.9),
    ),
    "hs72": Written(
        objective=hs.f72,
        constraints=hs.c72,
        lower=(0.001,) * 4,
        upper=(4e5, 3e5, 2e5, 1e5),
        published="727.6794",
        x=(193.407428586434, 179.547073607364, 185.018064284845, 168.706791311019),
        start=(1, 1, 1, 1),
    ),
    "hs76": Written(
        objective=hs.f76,
        constraints=hs.c76,
        lower=(0,) * 4,
        upper=(10,) * 4,
        published="-4.681818182",
        x=(3 / 11, 23 / 11, 0, 6 / 11),
        start=(0.5, 0.5, 0.5, 0.5),
        exact=True,
    ),
    "hs93": Written(
        objective=hs.f93,
        constraints=hs.c93,
        lower=(0,) * 6,
        upper=(100,) * 6,
        published="135.07596",
        x=(
            5.33266626841114,
            4.65674404646903,
            10.4329919249579,
            12.0823065893467,
            0.752607429776804,
            0.878650878819429,
        ),
        start=(5.54, 4.4, 12.02, 11.82, 0.702, 0.852),
    ),
    "hs104": Written(
        objective=hs.f104,
        constraints=hs.c104,
        lower=(0.1,) * 8,
        upper=(10,) * 8,
        published="3.951163440",
        x=(
            6.46511448763224,
            2.23270819965658,
            0.667397466476022,
            0.595756411716544,
            5.93267560022051,
            5.52723456283306,
            1.01332189051827,
            0.400668225916641,
        ),
        start=(6, 3, 0.4, 0.2, 6, 6, 1, 0.5),
    ),
}


def build(title: str, name: str) -> Problem:
    """The problem of that name."""
    return PROBLEMS[name].problem(title)


def instances(dimensions: tuple[int, ...]) -> list[Instance]:
    """In the order of the table."""
    return list(listing("textbook", PROBLEMS, build, dimensions))


SUITES = {
    "textbook": Suite(
        name="textbook",
        description="constrained problems g01-g13 and 13 of Hock and Schittkowski",
        unit="n+1",
        multiple=200,
        dimensions=dimensions_of(PROBLEMS),
        make=instances,
    )
}
