"""Anatomy of simulated male pelves: bones, muscles, fat and organs as simple solids, deformed per subject.

Sizes are of an average man lying on his back, in mm, LPS, 0 between the hips. Whatever moves between two scans of one
person (bladder, rectum) is a `Filling`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from xmodbench.data.simulate.deform import Lattice, subject_map
from xmodbench.data.simulate.sequences import PELVIS_HU
from xmodbench.data.simulate.shapes import Distance, Shape, core, ellipsoid, paint, plate, tube, within

BOX = ((-224.0, 224.0), (-190.0, 190.0), (-105.0, 105.0))
SIZE, WARP_RMS_MM, LATTICE_MM = (1.0, 0.06), 6.0, 8.0
HEAD_OF_FEMUR = (88.0, 5.0, -30.0)
BOWEL_LOOPS = 16
_OUTLINE_POWER = 2.4


@dataclass(frozen=True)
class Filling:
    """What changes from one scan to the next: size of the bladder (1 is average), and the rectum's share of gas."""

    bladder: float
    gas: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Filling:
        """A random filling."""
        return cls(float(np.clip(generator.normal(1, 0.2), 0.55, 1.5)), float(generator.uniform(0, 0.6)))


@dataclass(frozen=True)
class Body:
    """What a person keeps: build, sizes of organs, and how the shape differs from the average."""

    half_width: float
    half_depth: float
    fat: float
    head: float
    prostate: float
    shell: float
    bowel: np.ndarray  # [n, 4]: centre and radius of the loops
    warp: sitk.Transform
    rectum: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Body:
        """A random person."""
        extent = np.array(BOX)
        x, y, z = (int(n) for n in np.ceil(np.diff(extent, axis=1)[:, 0] / LATTICE_MM) + 1)
        lattice = Lattice(tuple(extent[:, 0]), (x, y, z), LATTICE_MM)
        still = np.zeros((3, x, y, z))
        return cls(
            half_width=float(generator.normal(185, 10)),
            half_depth=float(generator.normal(113, 6)),
            fat=float(generator.uniform(15, 36)),
            head=float(generator.normal(24, 1.2)),
            prostate=float(np.clip(generator.normal(1, 0.15), 0.7, 1.4)),
            shell=float(generator.uniform(2.2, 3.6)),
            bowel=generator.uniform((-62, -66, 32, 11), (62, 10, 112, 17), (BOWEL_LOOPS, 4)),
            warp=subject_map(generator, lattice, (0.0, 0.0, 0.0), SIZE, WARP_RMS_MM, still, still[0]),
            rectum=float(np.clip(generator.normal(15, 4), 8, 22)),
        )


def model_grid(spacing: float) -> sitk.Image:
    """An empty grid over the box around the pelvis, oriented LPS."""
    size = [round((high - low) / spacing) + 1 for low, high in BOX]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin([low for low, _ in BOX])
    return grid


def places(grid: sitk.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z of the voxels of a grid oriented LPS, mm."""
    sides = zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True)
    return tuple(o + s * np.arange(n) for o, s, n in sides)


def body_points(body: Body, grid: sitk.Image) -> np.ndarray:
    """Where each voxel of the grid lies in the average pelvis [3, Z, Y, X]."""
    field = sitk.TransformToDisplacementField(
        body.warp, sitk.sitkVectorFloat32, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    z, y, x = np.meshgrid(*places(grid)[::-1], indexing="ij")
    return np.moveaxis(sitk.GetArrayFromImage(field), -1, 0) + np.stack([x, y, z]).astype(np.float32)


def tissue_maps(
    body: Body, filling: Filling, points: np.ndarray, grid: sitk.Image, values: list[dict[str, float]]
) -> tuple[list[np.ndarray], np.ndarray]:
    """A map [Z, Y, X] of each table of values by tissue, and each voxel's tissue by number (-1: air or a mixture).

    Args:
        points: of `body_points` on the grid.
        values: by tissue, and for ``air``.
    """
    drawn = shapes(body, filling)
    maps, top = paint(drawn, points, places(grid), values, max(1.0, grid.GetSpacing()[0]))
    names = tissues()
    numbers = np.array([names.index(s.tissue) if s.tissue in names else -1 for s in drawn] + [-1], np.int16)
    return maps, numbers[top]


def tissues() -> list[str]:
    """Names of all tissues, in a fixed order."""
    return sorted(PELVIS_HU)


def shapes(body: Body, filling: Filling) -> list[Shape]:
    """All structures, from the outside inwards: each covers what it overlaps of those before it."""
    outline = _outline(body)
    wall = Shape("muscle", lambda p: np.full(p.shape[1:], -1e3, np.float32))
    cavity = Shape("fat", lambda p: outline(p) + 2 + body.fat + _wall_mm(p))
    # the layers around the muscles come after them: each part then need not know where the body ends
    layers = [
        Shape("fat", lambda p: -(outline(p) + 2 + body.fat)),
        Shape("skin", lambda p: -(outline(p) + 2)),
        Shape("air", lambda p: -outline(p)),
    ]
    parts = [*_muscles(), *_vessels(), *_bowel(body, filling)]
    return [wall, cavity, *parts, *layers, *_bones(body), *_organs(body, filling)]


def _outline(body: Body) -> Distance:
    def distance(p: np.ndarray) -> np.ndarray:
        x, y, z = p
        low = np.clip((30 - z) / 60, 0, 1)
        # buttocks: two bulges at the back, lower down
        bulge = 14 * low * np.exp(-(((np.abs(x) - 75) / 60) ** 2)) * (y > 0)
        a, b = body.half_width - 6 * np.clip(z / 100, 0, 1), body.half_depth + bulge
        r = (np.abs(x / a) ** _OUTLINE_POWER + np.abs(y / b) ** _OUTLINE_POWER) ** (1 / _OUTLINE_POWER)
        return (r - 1) * np.hypot(x, y) / np.maximum(r, 0.05)

    return distance


def _wall_mm(p: np.ndarray) -> np.ndarray:
    """Thickness of the muscles' wall around the fat inside; it closes below the pelvic floor."""
    return 13 + 70 * np.clip((-35 - p[2]) / 40, 0, 1)


def _muscles() -> list[Shape]:
    parts = [ellipsoid("muscle", (0, 60, 75), (70, 30, 60))]  # erector spinae, down to the sacrum
    for side in (-1, 1):
        parts += [
            ellipsoid("muscle", (side * 78, 78, -15), (62, 32, 75)),  # gluteus maximus
            ellipsoid("muscle", (side * 122, 22, 25), (26, 48, 60)),  # medius and minimus
            tube("muscle", [(side * 48, 5, 110), (side * 62, -25, 40), (side * 78, -42, -45)], 20),  # iliopsoas
            ellipsoid("muscle", (side * 48, 18, -38), (13, 28, 32)),  # obturator internus
            ellipsoid("muscle", (side * 62, -12, -95), (48, 46, 50)),  # adductors
            ellipsoid("muscle", (side * 108, -58, -80), (30, 30, 60)),  # rectus femoris, sartorius
            ellipsoid("muscle", (side * 130, -8, -85), (32, 42, 45)),  # tensor, vastus
            tube("muscle", [(side * 16, -92, 110), (side * 14, -88, -30)], 9),  # rectus abdominis
        ]
    return parts


def _vessels() -> list[Shape]:
    artery = [(42, -2, 110), (60, -42, 20), (70, -64, -40), (72, -66, -110)]
    shift = (-10, 4, 0)
    paths = [
        [(side * (x + dx), y + dy, z) for x, y, z in artery] for side in (-1, 1) for dx, dy, _ in ((0, 0, 0), shift)
    ]
    return [tube("vessel", path, 5) for path in paths]


def _bowel(body: Body, filling: Filling) -> list[Shape]:
    found = []
    for number, (x, y, z, radius) in enumerate(body.bowel):
        loop = ellipsoid("rectum_wall", (x, y, z), (1.5 * radius, radius, radius))
        # the loops nearest to the front hold gas
        content = "gas" if y < -45 and number / len(body.bowel) < filling.gas + 0.2 else "stool"
        found += [loop, core(loop, content, 3)]
    return found


def _bones(body: Body) -> list[Shape]:
    found: list[Shape] = []
    for bone in _axial_bones():
        found += [bone, core(bone, "red_marrow", body.shell)]
    for side in (-1, 1):
        for bone in _hip_bones(side):
            found += [bone, core(bone, "red_marrow", body.shell)]
    found.append(ellipsoid("cartilage", (0, -52, -46), (4, 9, 17)))  # symphysis
    for side in (-1, 1):
        found += _femur(body, side)
    return found


def _axial_bones() -> list[Shape]:
    return [
        ellipsoid("bone", (0, 38, 108), (27, 20, 20)),  # L5
        ellipsoid("bone", (0, 66, 60), (52, 19, 46)),  # sacrum
        ellipsoid("bone", (0, 82, 12), (30, 12, 34)),
        ellipsoid("bone", (0, 76, -24), (10, 7, 16)),  # coccyx
    ]


def _hip_bones(side: int) -> list[Shape]:
    def at(*points):
        return [(side * x, y, z) for x, y, z in points]

    cup = ellipsoid("bone", (side * 80, 5, -26), (36, 36, 38))
    return [
        plate("bone", (side * 88, 14, 52), (side * 0.62, -0.78, 0), (side * 0.28, 0, 0.96), (62, 66), 7),  # wing
        # the socket is open to the side
        within(cup, lambda p: side * p[0] - 96),
        tube("bone", at((72, -22, -32), (12, -54, -46)), 9),  # pubis
        tube("bone", at((13, -50, -52), (52, 22, -84)), 8),
        tube("bone", at((66, 28, -45), (56, 34, -88)), 15),  # ischium
    ]


def _femur(body: Body, side: int) -> list[Shape]:
    x, y, z = HEAD_OF_FEMUR
    centre = (side * x, y, z)
    head = ellipsoid("bone", centre, [body.head] * 3)
    neck = tube("bone", [centre, (side * 126, 10, -48)], 15)
    knob = ellipsoid("bone", (side * 132, 14, -52), (17, 20, 24))
    shaft = tube("shaft", [(side * 128, 10, -70), (side * 118, 4, -150)], 16)
    return [
        ellipsoid("cartilage", centre, [body.head + 3] * 3),
        shaft,
        neck,
        knob,
        core(neck, "femoral_head", 2.5),
        core(knob, "yellow_marrow", 2.5),
        head,
        core(head, "femoral_head", 1.5),
        core(shaft, "yellow_marrow", 6),
    ]


def _organs(body: Body, filling: Filling) -> list[Shape]:
    urine = np.array([35, 30, 30]) * filling.bladder ** (1 / 3) * (0.9 + 0.1 * filling.bladder)
    # a fuller bladder rises, its floor stays on the prostate
    middle = (0, -24, -22 + urine[2])
    prostate = np.array([24, 17, 20]) * body.prostate
    path = np.array([(0, 46, 70), (0, 56, 30), (0, 54, 0), (0, 40, -30), (0, 46, -70)], float)
    rectum = tube("rectum_wall", path, body.rectum)

    def top_of_rectum(p: np.ndarray) -> np.ndarray:
        # lying on the back, gas collects in front
        line = np.interp(p[2], path[::-1, 2], path[::-1, 1])
        return p[1] - line + (body.rectum - 3) * (1 - 2 * filling.gas)

    content = core(rectum, "stool", 3.5)
    return [
        ellipsoid("bladder_wall", middle, urine, grow=4),
        ellipsoid("urine", middle, urine),
        ellipsoid("prostate_peripheral", (0, 2, -42), prostate),
        ellipsoid("prostate_central", (0, -3, -38), prostate * (0.64, 0.62, 0.7)),
        *(ellipsoid("seminal_vesicle", (side * 17, 20, -14), (15, 5.5, 6)) for side in (-1, 1)),
        rectum,
        content,
        within(Shape("gas", content.distance, content.box), top_of_rectum),
    ]
