"""Cases that lack a sequence, in every layout that has several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.check import check_dataset
from autospine.data.dataset import load_case, open_dataset
from autospine.data.geometry import Volume
from autospine.data.structure import Reading
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.planning.decide.data import channel_counts
from autospine.planning.measured.fingerprint import extract_fingerprint
from tests.data.dicom_files import write_series
from tests.data.lacking import GRID, HELD, LAID_OUT, LEVEL, dicom, image, manifest, mask, named, nnunet


@pytest.mark.parametrize("layout", LAID_OUT)
def test_a_case_may_lack_a_channel(tmp_path: Path, layout: str) -> None:
    dataset = open_dataset(LAID_OUT[layout](tmp_path / "spine"), Reading(allow_missing=True))
    numbered = layout in ("folders", "beside")
    assert dataset.layout == layout
    assert dataset.channels == (("channel_0", "channel_1") if numbered else ("T1", "T2"))
    assert {case.name: tuple(np.delete(("T1", "T2"), case.missing)) for case in dataset.cases} == HELD
    for case in dataset.cases:
        loaded = load_case(dataset, case)
        for index, channel in enumerate(("T1", "T2")):
            if channel in HELD[case.name]:
                low, high = loaded.image.array[index].min(), loaded.image.array[index].max()
                assert LEVEL[channel] <= low < high <= LEVEL[channel] + 90
            else:
                assert not loaded.image.array[index].any()
    assert not check_dataset(dataset)


@pytest.mark.parametrize("layout", [name for name in LAID_OUT if name != "manifest"])
def test_without_leave_every_channel_is_asked_for(tmp_path: Path, layout: str) -> None:
    root = LAID_OUT[layout](tmp_path / "spine")
    if layout in ("bids", "dicom"):
        # a mask of the one image that is there is taken for another kind than one of both
        with pytest.raises(DataError, match="--masks" if layout == "bids" else "--allow-missing"):
            open_dataset(root)
        return
    faults = [finding for finding in check_dataset(open_dataset(root)) if finding.severity == "error"]
    assert [fault.case for fault in faults] == ["sub-2", "sub-3"]
    assert all(fault.found == "no such file" and "--allow-missing" in fault.remedy for fault in faults)


def test_a_manifest_says_by_itself_what_is_missing(tmp_path: Path) -> None:
    root = manifest(tmp_path / "spine")
    assert [case.missing for case in open_dataset(root).cases] == [(), (0,), (1,), ()]
    (root / "sub-1_T1.nii.gz").unlink()  # named, and not there
    (fault,) = [finding for finding in check_dataset(open_dataset(root)) if finding.severity == "error"]
    assert fault.file.endswith("sub-1_T1.nii.gz") and "--allow-missing" in fault.remedy
    table = root / "manifest.csv"
    table.write_text(table.read_text() + "\nsub-5,,,sub-1_mask.nii.gz")
    with pytest.raises(DataError, match="row 6 has no T1, T2"):
        open_dataset(root)


def test_a_channel_that_no_case_with_a_mask_has(tmp_path: Path) -> None:
    """An unlabelled case teaches nothing: what that alone shows is as good as absent."""
    root = manifest(tmp_path)
    table = root / "manifest.csv"
    rows = [["case", "T1", "T2", "label"]]
    rows += [[case, f"{case}_T1.nii.gz", "", f"{case}_mask.nii.gz"] for case in ("sub-1", "sub-3")]
    rows += [["sub-4", "sub-4_T1.nii.gz", "sub-4_T2.nii.gz", ""]]
    table.write_text("\n".join(map(",".join, rows)))
    dataset = open_dataset(root)
    assert [finding.found for finding in check_dataset(dataset) if finding.severity == "error"] == [
        "no case with a mask has T2"
    ]
    with pytest.raises(DataError, match="no case with a mask has T2"):
        extract_fingerprint(dataset)


def test_folders_in_which_no_case_is_complete(tmp_path: Path) -> None:
    for name, numbers in {"a": (0, 1), "b": (0, 2)}.items():
        for number in numbers:
            write_volume(tmp_path / f"images/{name}_{number:04d}.nii.gz", image("T1", "sub-1"))
        write_volume(tmp_path / f"labels/{name}.nii.gz", mask())
    dataset = open_dataset(named(tmp_path), Reading(allow_missing=True))
    assert len(dataset.channels) == 3 and [case.missing for case in dataset.cases] == [(2,), (1,)]
    assert not [finding for finding in check_dataset(dataset) if finding.severity == "error"]


def test_leave_changes_nothing_of_one_channel(tmp_path: Path) -> None:
    """Files and series of any name are one channel where no case has two."""
    for case in ("c0", "c1", "c2"):
        write_volume(tmp_path / "own" / case / f"{case}.nii.gz", image("T1", "sub-1"))
        write_volume(tmp_path / "own" / case / "seg.nii.gz", mask())
        volume = image("T1", "sub-1")
        series = tmp_path / "dicom" / case / f"series_10{case[-1]}"
        write_series(series, np.asarray(volume.array[0]), volume.geometry, patient=case, study=f"1.2.{case[-1]}")
        write_volume(tmp_path / "dicom" / case / "seg.nii.gz", mask())
    for name in ("own", "dicom"):
        dataset = open_dataset(named(tmp_path / name), Reading(allow_missing=True))
        assert len(dataset.channels) == 1 and len(dataset.cases) == 3


def test_a_series_that_says_not_what_it_is(tmp_path: Path) -> None:
    root = dicom(tmp_path)
    for path in sorted((root / "sub-2" / "T2").iterdir()):
        path.rename(root / "sub-2" / path.name)
    (root / "sub-2" / "T2").rmdir()
    with pytest.raises(DataError, match=r"no folder says what they are \(sub-2\)"):
        open_dataset(root, Reading(allow_missing=True))


def test_series_in_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """`case/T1/raw` and `case/T2/raw`: what is common ends where they part."""
    for case, channels in HELD.items():
        for channel in channels:
            volume = image(channel, case)
            folder = tmp_path / case / channel / "raw"
            write_series(folder, np.asarray(volume.array[0]), volume.geometry, patient=case, study=f"1.2.{case[-1]}")
        write_volume(tmp_path / case / "seg.nii.gz", mask())
    with pytest.raises(DataError, match="not called alike"):
        open_dataset(named(tmp_path))
    dataset = open_dataset(tmp_path, Reading(allow_missing=True))
    assert dataset.channels == ("T1/raw", "T2/raw")
    assert [case.missing for case in dataset.cases] == [(), (0,), (1,), ()]


def test_names_that_come_again_are_sequences(tmp_path: Path) -> None:
    """One file per case, but of two kinds: with leave to miss one they are two channels, not one of both."""
    for case, channel in {"a1": "T1", "a2": "T2", "a3": "T1"}.items():
        volume = image(channel, "sub-1")
        write_volume(tmp_path / "own" / case / f"{channel}.nii.gz", volume)
        write_volume(tmp_path / "own" / case / "seg.nii.gz", mask())
        series = tmp_path / "dicom" / case / channel
        write_series(series, np.asarray(volume.array[0]), volume.geometry, patient=case, study=f"1.2.{case[-1]}")
        write_volume(tmp_path / "dicom" / case / "seg.nii.gz", mask())
    for name in ("own", "dicom"):
        dataset = open_dataset(named(tmp_path / name), Reading(allow_missing=True))
        assert dataset.channels == ("T1", "T2")
        assert [case.missing for case in dataset.cases] == [(1,), (0,), (1,)]


@pytest.mark.parametrize("kinds", [("acq-ax_T1w", "acq-ax_T2w"), ("T2w",)])
def test_bids_masks_of_all_images_stay_so_where_one_image_is_left(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """Words that all images share single out none of them."""
    for number, case in enumerate(("sub-1", "sub-2", "sub-3")):
        for kind in kinds[1:] if number == 1 and len(kinds) > 1 else kinds:
            write_volume(tmp_path / case / "anat" / f"{case}_{kind}.nii.gz", image("T2", case))
        bears = "_acq-ax" if len(kinds) > 1 else "_T2w" * (number == 0)
        write_volume(tmp_path / "derivatives/m" / case / "anat" / f"{case}{bears}_dseg.nii.gz", mask())
    dataset = open_dataset(named(tmp_path), Reading(allow_missing=True))
    assert dataset.channels == kinds
    assert [case.missing for case in dataset.cases] == [(), (0,) if len(kinds) > 1 else (), ()]


def test_masks_of_bids_that_name_one_of_two_images_are_of_two_kinds(tmp_path: Path) -> None:
    """As ever: both images are there, and each has a mask of its own."""
    for case in ("sub-1", "sub-2"):
        for plane in ("ax", "sag"):
            write_volume(tmp_path / case / "anat" / f"{case}_acq-{plane}_T2w.nii.gz", image("T2", case))
            write_volume(tmp_path / "derivatives/m" / case / "anat" / f"{case}_acq-{plane}_dseg.nii.gz", mask())
    with pytest.raises(DataError, match="masks of 2 kinds"):
        open_dataset(named(tmp_path))
    chosen = open_dataset(tmp_path, Reading(masks="acq-ax"))
    assert chosen.channels == ("acq-ax_T2w",)


def test_a_link_to_nothing_is_not_missing(tmp_path: Path) -> None:
    root = nnunet(tmp_path)
    (root / "imagesTr/sub-3_0001.nii.gz").symlink_to(root / "gone.nii.gz")
    faults = check_dataset(open_dataset(root, Reading(allow_missing=True)))
    assert [(fault.severity, fault.case) for fault in faults] == [("error", "sub-3")]


def test_the_fingerprint_counts_what_is_there(tmp_path: Path) -> None:
    fingerprint = extract_fingerprint(open_dataset(nnunet(tmp_path), Reading(allow_missing=True)))
    assert [case.missing for case in fingerprint.cases] == [(), (0,), (1,), ()]
    assert channel_counts(fingerprint) == [3, 3]
    for channel, intensity in zip(fingerprint.channels, fingerprint.intensities, strict=True):
        # what is missing is no dark image
        assert LEVEL[channel] <= intensity.minimum < intensity.maximum <= LEVEL[channel] + 90


def test_odd_intensities_are_told_among_those_that_have_the_channel(tmp_path: Path) -> None:
    rows = ["case,T1,T2,label"]
    rng = np.random.default_rng(0)
    for number in range(18):
        # T2 of every third case is missing, that of case 7 is a hundred times as bright
        scale = {"T1": 100, "T2": 10000 if number == 7 else 100}
        for channel in ("T1", "T2") if number % 3 else ("T1",):
            array = rng.integers(scale[channel], 2 * scale[channel], (1, *GRID.shape)).astype(np.uint16)
            write_volume(tmp_path / f"{number}_{channel}.nii.gz", Volume(array, GRID))
        write_volume(tmp_path / f"{number}_mask.nii.gz", mask())
        second = f"{number}_T2.nii.gz" if number % 3 else ""
        rows.append(f"case{number:02},{number}_T1.nii.gz,{second},{number}_mask.nii.gz")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    findings = check_dataset(open_dataset(named(tmp_path)))
    assert [(finding.case, "'T2' has a median intensity" in finding.found) for finding in findings] == [
        ("case07", True)
    ]


def test_images_of_different_sequences_are_not_compared(tmp_path: Path) -> None:
    """T1 is dark where T2 is bright: a case that lacks the one is no mirror image of the others."""
    rows = ["case,T2,T1,label"]
    ramp = np.linspace(0, 1000, GRID.shape[1]).reshape(1, 1, -1, 1)
    rng = np.random.default_rng(0)
    for number in range(16):
        cells = []
        for channel, base in (("T2", ramp), ("T1", 1000 - ramp)):
            if (number, channel) == (3, "T2"):
                cells.append("")
                continue
            array = base + rng.integers(100, 300, (1, *GRID.shape))
            cells.append(f"{number}_{channel}.nii.gz")
            write_volume(tmp_path / cells[-1], Volume(array.astype(np.uint16), GRID))
        write_volume(tmp_path / f"{number}_mask.nii.gz", mask())
        rows.append(f"case{number:02},{','.join(cells)},{number}_mask.nii.gz")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    findings = check_dataset(open_dataset(named(tmp_path)))
    assert not [finding for finding in findings if "other way" in finding.found]
