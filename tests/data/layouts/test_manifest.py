"""Tables of files: what is read of them, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Label
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.small import GRID, image, mask, put, seen

ROW = "a,one,x.nii.gz,y.nii.gz"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty table"),
        ("case,subject,T2,label", "0 rows"),
        (f"case,subject,T2,label\n{ROW}\n{ROW}", "listed more than once: a"),
        (f"case,subject,T2\n{ROW[:14]}", "no column label"),
        (f"number,subject,T2,label\n{ROW}", "no column case"),
        (f"case,subject,T2,T2\n{ROW}", "1 rows under the columns"),
        (f"case,subject,T2,label\n{ROW},5", "row 2 has another number of cells"),
        ("case,subject,T2,label\na,one,,y.nii.gz\nb,one,x.nii.gz,y.nii.gz", "row 2 has no T2"),
        ("case,subject,T2,label\n,one,x.nii.gz,y.nii.gz", "row 2 has no case"),
        ("case,subject,T2,label\n../a,one,x.nii.gz,y.nii.gz", "names that files can bear"),
        ("case,subject,T2,label\na,one,7,y.nii.gz", "no column with images"),
        ('case,subject,T2,label\na,one,"x.nii.gz,y.nii.gz', "cannot be read as a table"),
    ],
)
def test_manifests_that_are_wrong(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "spine.csv").write_text(text)
    with pytest.raises(DataError, match=found):
        open_dataset(tmp_path / "spine.csv")


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_manifest_anywhere(tmp_path: Path, between: str) -> None:
    put(tmp_path, "scans/x.nii.gz", "scans/w.nii.gz", "scans/v.nii.gz")
    put(tmp_path, "y.nii.gz", volume=mask(0, 3))
    rows = [
        ["Case", "patient_id", "T2", "fat", "centre", "Mask"],
        ["b", "one", "scans/x.nii.gz", "scans/w.nii.gz", "Basel", "y.nii.gz"],
        ["a", "one", "scans/v.nii.gz", "scans/w.nii.gz", "Bern", ""],
    ]
    path = tmp_path / "spine.csv"
    path.write_text("\ufeff" + "\r\n".join(between.join(row) for row in rows) + "\r\n", encoding="utf-8")
    dataset = open_dataset(path)
    assert (dataset.name, dataset.channels, dataset.layout) == ("spine", ("T2", "fat"), "manifest")
    assert [(case.name, case.subject, case.label is None) for case in dataset.cases] == [
        ("a", "one", True),
        ("b", "one", False),
    ]
    assert dataset.notes == ("columns without images, left aside: centre",)
    assert dataset.labels == (Label("label_3", 3),)


def test_a_second_mask_of_a_manifest_is_no_channel(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("case,T2,label,seg\na,x.nii.gz,y.nii.gz,z.nii.gz\n")
    put(tmp_path, "y.nii.gz", "z.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: label, seg"):
        open_dataset(tmp_path / "m.csv")
    assert seen(tmp_path / "m.csv", "seg") == {"a": (("x.nii.gz",), "z.nii.gz")}
    (tmp_path / "m.csv").write_text("case,T2,Label,label\na,x.nii.gz,y.nii.gz,z.nii.gz\n")
    with pytest.raises(DataError, match="1 rows under the columns"):
        open_dataset(tmp_path / "m.csv")


def test_a_manifest_names_formats_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("case,T2,T1,label\na,x.nii.gz,x.mnc,y.npy\n")
    with pytest.raises(DataError, match=r"files of formats that are not read: x\.mnc, y\.npy"):
        open_dataset(tmp_path / "m.csv")


def test_a_manifest_names_dicom_files_of_any_name(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "p1", image(1).array[0][:1], GRID, names=lambda index: "IM1")
    path.write_bytes(path.read_bytes()[132:])
    (tmp_path / "m.csv").write_text("case,T2,label\na,p1/IM1,\n")
    dataset = open_dataset(tmp_path / "m.csv")
    np.testing.assert_array_equal(
        load_case(dataset, dataset.cases[0]).image.array[0, 0].max(), image(1).array[0, 0].max()
    )
