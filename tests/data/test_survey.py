from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from autospine.data import dataset as dataset_module
from autospine.data.check import check_dataset
from autospine.data.dataset import open_dataset
from autospine.data.findings import Finding
from autospine.data.geometry import Geometry, Volume
from autospine.data.masks import files as mask_files
from autospine.data.structure import Reading
from autospine.data.volume import read_volume, write_volume
from autospine.planning.measured.fingerprint import extract_fingerprint
from tests.data.laid_out import Content, folders

GRID = Geometry((12, 40, 36), (4.0, 1.5, 1.5), (-12.5, 30.0, 7.25), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
LABELS = {"lower": 1, "upper": 2, "left_muscle": 3, "right_muscle": 4}
NAMES = [f"case{index:02d}" for index in range(12)]


def body(seed: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Bright behind and below, with a piece in every slice; no two people are alike."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(0, 1, size) for size in GRID.shape), indexing="ij")
    texture = rng.normal(0, 1, (4, 5, 5))
    soft = np.kron(texture, np.ones((3, 8, 8)))[:, :, :36]
    image = 400 + 300 * y - 150 * z + 40 * np.sin(6 * x) + 60 * soft + rng.normal(0, 10, GRID.shape)
    mask = np.zeros(GRID.shape, np.uint8)
    shift = int(rng.integers(0, 3))
    mask[:6, 15 + shift : 22 + shift, 14:20], mask[6:, 15 + shift : 22 + shift, 14:20] = 1, 2
    mask[2:9, 25:33, 22 + shift : 30 + shift], mask[2:9, 25:33, 4 + shift : 12 + shift] = 3, 4
    return np.clip(image, 1, 4000).astype(np.uint16), mask


def write(
    root: Path, name: str, image: npt.NDArray[np.uint16], mask: npt.NDArray[np.uint8], grid: Geometry = GRID
) -> None:
    write_volume(root / "images" / f"{name}.nii.gz", Volume(image[None], replace(grid, shape=image.shape)))
    write_volume(root / "labels" / f"{name}.nii.gz", Volume(mask[None], replace(grid, shape=mask.shape)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    volumes = {name: body(seed) for seed, name in enumerate(NAMES)}
    cases = {name: (Volume(i[None], GRID), Volume(m[None], GRID)) for name, (i, m) in volumes.items()}
    return folders(tmp_path / "spine", Content(cases, LABELS))


def found(root: Path, reading: Reading = Reading()) -> list[Finding]:  # noqa: B008
    findings = check_dataset(open_dataset(root, reading))
    assert all(finding.severity == "warning" for finding in findings)
    return list(findings)


def test_people_who_are_alike_are_nothing_odd(root: Path) -> None:
    assert found(root) == []


def test_a_copy_under_another_subject(root: Path) -> None:
    image, mask = body(3)
    noise = np.random.default_rng(9).normal(0, 5, image.shape)
    write(root, "case08", (1.7 * image + noise + 10).astype(np.uint16), mask)
    (finding,) = found(root)
    assert finding.case == "case08" and "nearly the same image as case03 of another subject" in finding.found
    assert "--subjects" in finding.remedy
    assert found(root, Reading(subjects=r"case\d(?=[38])|case\d\d")) == []


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (replace(GRID, spacing_mm=(4.0, 0.5, 0.5)), ("a spacing of 4 x 0.5 x 0.5 mm", "a field of view of")),
        (replace(GRID, spacing_mm=(10.0, 1.5, 1.5)), ("a spacing of 10 x 1.5 x 1.5 mm", "a field of view of")),
    ],
)
def test_another_spacing_and_size(root: Path, grid: Geometry, said: tuple[str, ...]) -> None:
    write(root, "case05", *body(5), grid)
    findings = found(root)
    assert [finding.case for finding in findings] == ["case05"] * len(said)
    assert all(part in finding.found for part, finding in zip(said, findings, strict=True))
    assert "about 4 x 1.5 x 1.5 mm, as the rest" in findings[0].expected


def test_another_scale_of_grey(root: Path) -> None:
    image, mask = body(5)
    write(root, "case05", (image // 12).astype(np.uint16), mask)
    (finding,) = found(root)
    assert finding.case == "case05" and "a median intensity" in finding.found


def test_greys_that_lie_apart_by_themselves_are_nothing_odd(root: Path) -> None:
    for seed, name in enumerate(NAMES):
        image, mask = body(seed)
        write(root, name, (image // (1 + seed % 4) ** 2).astype(np.uint16), mask)
    assert found(root) == []


def test_labels_that_are_missing_or_too_many(root: Path) -> None:
    image, mask = body(5)
    write(root, "case05", image, np.where((mask == 2) | (mask == 4), 0, mask).astype(np.uint8))
    for seed, name in enumerate(NAMES):
        if name not in ("case05", "case07"):
            image, mask = body(seed)
            write(root, name, image, np.where(mask == 4, 0, mask).astype(np.uint8))
    said = {
        finding.case: finding.found
        for finding in found(root)
        if "mask" in finding.found and "slices" not in finding.found
    }
    assert said["case05"].startswith("the mask lacks upper")
    assert said["case07"] == "the mask holds right_muscle, as hardly any other"


def test_slices_that_were_not_annotated(root: Path) -> None:
    image, mask = body(5)
    mask[:3] = 0
    write(root, "case05", image, mask)
    (finding,) = found(root)
    assert (finding.case, finding.found) == ("case05", "masks on 9 of 12 slices")


def test_masks_of_a_part_of_the_slices_are_nothing_odd_where_all_are_so(root: Path) -> None:
    for seed, name in enumerate(NAMES):
        image, mask = body(seed)
        mask[: 1 + seed % 3] = 0
        write(root, name, image, mask)
    assert found(root) == []


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        (0, "its labels and its image run the other way between inferior and superior than in the rest"),
        (1, "its labels and its image run the other way between anterior and posterior than in the rest"),
        (2, "its labels run the other way between right and left than in the rest"),
    ],
)
def test_an_axis_that_runs_the_other_way(root: Path, axis: int, said: str) -> None:
    image, mask = body(5)
    write(root, "case05", np.flip(image, axis), np.flip(mask, axis))
    assert said in [finding.found for finding in found(root)]


def test_sides_that_are_named_the_wrong_way(root: Path) -> None:
    image, mask = body(5)
    write(root, "case05", image, np.array([0, 1, 2, 4, 3], np.uint8)[mask])
    (finding,) = found(root)
    assert (finding.case, finding.found) == (
        "case05",
        "its labels run the other way between right and left than in the rest",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("lumbar-water", []),
        ("lumbar-t2", []),
        ("cord-axial", ["sub-9604"]),
        ("muscle-axial", []),
        ("hippocampus", []),
    ],
)
def test_of_the_real_cases_one_is_odd(real_data: Callable[[str], Path], name: str, odd: list[str]) -> None:
    assert [finding.case for finding in found(real_data(name))] == odd


def test_checking_and_planning_read_every_image_once_each(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def count(path: Path) -> Volume:
        read.append(path)
        return read_volume(path)

    monkeypatch.setattr(dataset_module, "read_volume", count)
    monkeypatch.setattr(mask_files, "read_volume", count)
    check_dataset(open_dataset(root))
    assert len(read) == len(set(read)) == 2 * len(NAMES)
    read.clear()
    extract_fingerprint(open_dataset(root))
    assert len(read) == len(set(read)) == 2 * len(NAMES)


def test_memory_does_not_grow_with_the_cases(tmp_path: Path) -> None:
    """Of a case stay a thumbnail (16 KB) and the drawn voxels (40 KB a channel), of an image of 2.2 MB nothing else."""
    shape = (24, 150, 150)
    rng = np.random.default_rng(0)

    def peak(count: int) -> float:
        root = tmp_path / str(count)
        for index in range(count):
            image = rng.integers(1, 900, shape).astype(np.uint16)
            mask = np.zeros(shape, np.uint8)
            mask[5:15, 40:90, 40:90] = 1 + index % 2
            write(root, f"case{index:02d}", image, mask)
        dataset = open_dataset(root)
        tracemalloc.start()
        check_dataset(dataset)
        extract_fingerprint(dataset)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held / 1e6

    few, many = peak(4), peak(16)
    assert many < few + 12 * 0.2 < 1.25 * few
