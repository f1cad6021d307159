"""One and the same dataset in every layout that is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import generate_uid

from autospine.data.geometry import Volume
from autospine.data.volume import write_volume
from tests.data.dicom_files import write_series


@dataclass(frozen=True)
class Content:
    """What is laid out: one channel, T2w."""

    cases: Mapping[str, tuple[Volume, Volume]]
    """Name (`sub-01`) -> image and mask on one grid."""
    labels: Mapping[str, int]


def nnunet(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", image)
        write_volume(root / "labelsTr" / f"{name}.nii.gz", mask)
    described = {"channel_names": {"0": "T2w"}, "labels": {"background": 0, **content.labels}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def nnunet_listed(root: Path, content: Content) -> Path:
    listed = {}
    for name, (image, mask) in content.cases.items():
        write_volume(root.parent / "elsewhere" / name / "image.nrrd", image)
        write_volume(root / "masks" / f"{name}.mha", mask)
        listed[name] = {"images": [f"../elsewhere/{name}/image.nrrd"], "label": f"masks/{name}.mha"}
    described = {"channel_names": {"0": "T2w"}, "labels": {"background": 0, **content.labels}, "dataset": listed}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def decathlon(root: Path, content: Content) -> Path:
    listed = []
    for name, (image, mask) in content.cases.items():
        write_volume(root / "imagesTr" / f"{name}.nii.gz", image)
        write_volume(root / "labelsTr" / f"{name}.nii.gz", mask)
        listed.append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
    described = {
        "modality": {"0": "T2w"},
        "labels": {"0": "background", **{str(value): name for name, value in content.labels.items()}},
        "tensorImageSize": "3D",
        "training": listed,
        "test": [],
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def bids(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        write_volume(root / name / "anat" / f"{name}_T2w.nii.gz", image)
        write_volume(root / "derivatives" / "manual" / name / "anat" / f"{name}_T2w_dseg.nii.gz", mask)
    rows = "".join(f"{value}\t{name}\n" for name, value in content.labels.items())
    (root / "derivatives" / "manual" / "dseg.tsv").write_text("index\tname\n0\tbackground\n" + rows)
    (root / "dataset_description.json").write_text('{"Name": "spine", "BIDSVersion": "1.9.0"}')
    return root


def folders(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        write_volume(root / "images" / f"{name}.nii.gz", image)
        write_volume(root / "labels" / f"{name}.nii.gz", mask)
    return named(root, content)


def scans(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        write_volume(root / "Scans" / f"{name}.nii", image)
        write_volume(root / "Segmentations" / f"{name}-label.nrrd", mask)
    return named(root, content)


def beside(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        write_volume(root / f"{name}.nii.gz", image)
        write_volume(root / f"{name}_seg.nii.gz", mask)
    return named(root, content)


def cases(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        write_volume(root / name / f"{name}_T2w.nii.gz", image)
        write_volume(root / name / f"{name}_mask.nii.gz", mask)
    return named(root, content)


def manifest(root: Path, content: Content) -> Path:
    rows = ["case,subject,T2w,age,label"]
    for index, (name, (image, mask)) in enumerate(content.cases.items()):
        write_volume(root / "a" / f"{index}.nii.gz", image)
        write_volume(root / "b" / f"{index}.nii.gz", mask)
        rows.append(f"{name},{name},a/{index}.nii.gz,{30 + index},b/{index}.nii.gz")
    (root / "manifest.csv").write_text("\n".join(rows))
    return named(root, content)


def dicom(root: Path, content: Content) -> Path:
    for name, (image, mask) in content.cases.items():
        series = root / name / "T2"
        write_series(series, np.asarray(image.array[0]), image.geometry, patient=name, uid=generate_uid())
        write_volume(root / name / f"{name}_seg.nii.gz", mask)
    return named(root, content)


def named(root: Path, content: Content) -> Path:
    (root / "labels.json").write_text(json.dumps(dict(content.labels)))
    return root


LAID_OUT: Mapping[str, tuple[str, Callable[[Path, Content], Path]]] = {
    "nnunet": ("nnunet", nnunet),
    "nnunet with a file list": ("nnunet", nnunet_listed),
    "decathlon": ("decathlon", decathlon),
    "bids": ("bids", bids),
    "folders": ("folders", folders),
    "folders of other names": ("folders", scans),
    "beside": ("beside", beside),
    "cases": ("cases", cases),
    "manifest": ("manifest", manifest),
    "dicom": ("dicom", dicom),
}
"""Name of the layout that is to be found, and what lays a dataset out so."""
