"""Images alone in a store: named after what they hold, prepared as cases are, refused where they have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.check import image_digest
from autospine.data.dataset import load_case
from autospine.data.structure import Dataset
from autospine.errors import DataError
from autospine.planning.document.plan import Plan
from autospine.preprocessing.cases import prepare_dataset
from autospine.preprocessing.images import ImageSource, prepare_images


def sources(dataset: Dataset) -> list[ImageSource]:
    found = []
    for case in dataset.cases:
        alone = replace(dataset, cases=(case,))
        image = load_case(alone, case).image
        found.append(ImageSource(alone, case, (0,), image_digest(image.array), image.geometry.spacing_mm))
    return found


def test_an_image_alone_is_that_of_the_labelled_case(
    dataset: Dataset, tmp_path: Path, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan()
    labelled = prepare_dataset(dataset, plan, plan.configuration(), tmp_path / "cases", workers=1)
    given = sources(dataset)
    store = prepare_images(given, plan, plan.configuration(), tmp_path / "images", workers=1)
    assert store.contents == "images" and set(store.names) == {source.stored_name for source in given}
    for source in given:
        one, other = store.open(source.stored_name), labelled.open(source.case.name)
        np.testing.assert_array_equal(one.image, other.image)
        assert replace(one.properties, name="") == replace(other.properties, name="")
        assert one.label.shape == other.label.shape and not one.label.any() and one.label.strides == (0, 0, 0)
    # what is there stays, the same image under another name is kept once, a spacing of its own makes another
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").glob("*.npy")}
    prepare_images([given[0], replace(given[0])], plan, plan.configuration(), tmp_path / "images", workers=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "images").glob("*.npy")} == stamps
    assert replace(given[0], spacing_mm=(1.0, 1.0, 1.0)).stored_name != given[0].stored_name


def test_an_image_that_has_changed_is_refused(dataset: Dataset, tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    plan, (first, *_) = make_plan(), sources(dataset)
    for changed in (replace(first, digest="0" * 64), replace(first, spacing_mm=(9.0, 1.0, 1.0))):
        with pytest.raises(DataError, match="not the one that the plan was made from"):
            prepare_images([changed], plan, plan.configuration(), tmp_path / "images", workers=1)
