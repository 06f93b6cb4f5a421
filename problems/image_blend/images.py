"""The pictures: samples that scikit-image and scikit-learn ship, cropped to squares, in one fixed order."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack.errors import MissingExtraError

FloatArray = npt.NDArray[np.float64]

# A directory listing is not an order, so the order is this list. The first one is the target's.
SKIMAGE = (
    *("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "camera.png", "coins.png", "moon.png", "horse.png"),
    *("motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png", "page.png", "text.png", "brick.png"),
    *("grass.png", "gravel.png", "cell.png", "clock_motion.png", "color.png", "logo.png", "phantom.png"),
    *("microaneurysms.png", "motorcycle_right.png"),
)
SKLEARN = ("china.jpg", "flower.jpg")
NAMES = (*SKIMAGE[:2], *SKLEARN, *SKIMAGE[2:])
CROPS = ("centre", "top left", "bottom right", "top right")
LARGEST = len(NAMES) * len(CROPS)
PART = 0.75
"""Side of a corner crop in sides of the centre one, which is the largest square."""

_INSTALL = "Install `dfoattack[images]`, which brings scikit-image, scikit-learn and Pillow."


def folder(package: str, *parts: str, install: str = _INSTALL) -> Path:
    """A folder inside an installed package, found without importing it.

    Raises
    ------
    MissingExtraError       the package is not installed; the message says how to
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"The image problems need the package {package}. {install}")
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*parts)


def crops(count: int, pixels: int, first: int = 0) -> tuple[FloatArray, list[str]]:
    """Pictures `first`, ..., `first + count - 1` of the list as (count, 3, pixels, pixels) in [0, 1], and their names.

    The list holds the centre crops of all pictures, then their crops at the top left, bottom right and top right corner.

    Raises
    ------
    MissingExtraError       a package that ships pictures is not installed
    """
    drawn, names = [], []
    for index in range(first, first + count):
        which, name = divmod(index, len(NAMES))[0], NAMES[index % len(NAMES)]
        drawn.append(_crop(_picture(name), which, pixels))
        names.append(f"{name.partition('.')[0]} ({CROPS[which]})")
    return np.array(drawn), names


def _picture(name: str) -> Any:
    """One picture as a `PIL.Image` in RGB."""
    where = folder("sklearn", "datasets", "images") if name in SKLEARN else folder("skimage", "data")
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"The image problems need Pillow. {_INSTALL}") from error
    if not (where / name).is_file():
        raise MissingExtraError(f"The installed {where.parent.name} ships no picture {name}. {_INSTALL}")
    with Image.open(where / name) as file:
        return file.convert("RGB")


def _crop(picture: Any, which: int, pixels: int) -> FloatArray:
    """A square of a picture as (3, pixels, pixels) in [0, 1]; resampled with antialiasing."""
    width, height = picture.size
    side = min(width, height) if which == 0 else int(PART * min(width, height))
    left = {0: (width - side) // 2, 1: 0, 2: width - side, 3: width - side}[which]
    top = {0: (height - side) // 2, 1: 0, 2: height - side, 3: 0}[which]
    box = (left, top, left + side, top + side)
    small = picture.resize((pixels, pixels), resample=3, box=box)  # 3: bicubic
    return np.asarray(small, dtype=np.float64).transpose(2, 0, 1) / 255.0
