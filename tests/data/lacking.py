"""Four cases of two sequences, of which two lack one, in every layout that has several."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from tests.data.dicom_files import write_series

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
HELD = {"sub-1": ("T1", "T2"), "sub-2": ("T2",), "sub-3": ("T1",), "sub-4": ("T1", "T2")}
LEVEL = {"T1": 100, "T2": 5000}


def image(channel: str, case: str) -> Volume:
    array = np.random.default_rng(int(case[-1])).integers(1, 90, (1, *GRID.shape)) + LEVEL[channel]
    return Volume(array.astype(np.uint16), GRID)


def mask() -> Volume:
    array = np.zeros((1, *GRID.shape), np.uint8)
    array[0, 1, 1:3, 1:4] = 1
    return Volume(array, GRID)


def nnunet(root: Path) -> Path:
    for case, channels in HELD.items():
        for channel in channels:
            number = ("T1", "T2").index(channel)
            write_volume(root / f"imagesTr/{case}_{number:04d}.nii.gz", image(channel, case))
        write_volume(root / f"labelsTr/{case}.nii.gz", mask())
    described = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 1}}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def folders(root: Path) -> Path:
    for case, channels in HELD.items():
        for channel in channels:
            write_volume(root / f"images/{case}_{('T1', 'T2').index(channel):04d}.nii.gz", image(channel, case))
        write_volume(root / f"labels/{case}.nii.gz", mask())
    return named(root)


def beside(root: Path) -> Path:
    for case, channels in HELD.items():
        for channel in channels:
            write_volume(root / f"{case}_{('T1', 'T2').index(channel):04d}.nii.gz", image(channel, case))
        write_volume(root / f"{case}_seg.nii.gz", mask())
    return named(root)


def cases(root: Path) -> Path:
    for case, channels in HELD.items():
        for channel in channels:
            write_volume(root / case / f"{channel}.nii.gz", image(channel, case))
        write_volume(root / case / "seg.nii.gz", mask())
    return named(root)


def bids(root: Path) -> Path:
    for case, channels in HELD.items():
        for channel in channels:
            write_volume(root / case / "anat" / f"{case}_{channel}.nii.gz", image(channel, case))
        write_volume(root / "derivatives" / "manual" / case / "anat" / f"{case}_dseg.nii.gz", mask())
    return named(root)


def dicom(root: Path) -> Path:
    for case, channels in HELD.items():
        for channel in channels:
            volume = image(channel, case)
            write_series(
                root / case / channel,
                np.asarray(volume.array[0]),
                volume.geometry,
                patient=case,
                study=f"1.2.{case[-1]}",
            )
        write_volume(root / case / "seg.nii.gz", mask())
    return named(root)


def manifest(root: Path) -> Path:
    rows = ["case,T1,T2,label"]
    for case, channels in HELD.items():
        write_volume(root / f"{case}_mask.nii.gz", mask())
        for channel in channels:
            write_volume(root / f"{case}_{channel}.nii.gz", image(channel, case))
        cells = [f"{case}_{channel}.nii.gz" if channel in channels else "" for channel in ("T1", "T2")]
        rows.append(",".join([case, *cells, f"{case}_mask.nii.gz"]))
    (root / "manifest.csv").write_text("\n".join(rows))
    return named(root)


def named(root: Path) -> Path:
    (root / "labels.json").write_text('{"a": 1}')
    return root


LAID_OUT = {
    "nnunet": nnunet,
    "folders": folders,
    "beside": beside,
    "cases": cases,
    "bids": bids,
    "dicom": dicom,
    "manifest": manifest,
}
