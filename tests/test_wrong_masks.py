from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.volume import read_volume
from tests.columns import SLICES, column, write_dataset
from tests.wrong_masks import KINDS, read_wrong, spoil, write_wrong_copy


def test_each_kind_does_what_it_says() -> None:
    label, rng = column(0), np.random.default_rng(0)
    counts = np.bincount(label.ravel(), minlength=4)
    swapped, pair = spoil(label, "swapped", SLICES, rng) or pytest.fail("cannot be swapped")
    assert np.array_equal(swapped > 0, label > 0) and (swapped == pair[0]).sum() == counts[pair[1]]
    shifted, _ = spoil(label, "shifted", SLICES, rng) or pytest.fail("cannot be shifted")
    # the levels are 13 to 15 rows high, and lie above each other along Z
    assert any(np.array_equal(shifted, np.roll(label, step, axis=0)) for step in (-7, 7, -8, 8, -6, 6))
    lacking, gone = spoil(label, "missing", SLICES, rng) or pytest.fail("nothing can be missing")
    assert (
        len(gone) == 1 and (lacking == gone[0]).sum() == 0 and (lacking > 0).sum() == counts[1:].sum() - counts[gone[0]]
    )
    ragged, _ = spoil(label, "ragged", SLICES, rng) or pytest.fail("cannot be ragged")
    overlap = 2 * ((ragged == 2) & (label == 2)).sum() / ((ragged == 2).sum() + counts[2])
    assert 0.7 < overlap < 0.97


def test_a_piece_of_several_and_what_cannot_be() -> None:
    label = np.zeros((20, 8, 6), np.uint8)
    label[1:5, 2:6, 1:5] = label[8:12, 2:6, 1:5] = label[15, 0, 0] = 1  # two pieces and a crumb
    rng = np.random.default_rng(0)
    made = spoil(label, "missing", 2, rng)
    assert made is not None and (made[0] == 1).sum() == 65
    assert spoil(label, "swapped", 2, rng) is None
    single = np.where(np.arange(20)[:, None, None] < 6, label, 0).astype(np.uint8)
    assert spoil(single, "missing", 2, rng) is None
    assert spoil(np.zeros_like(label), "ragged", 2, rng) is None


def test_a_copy_of_a_data_set(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "right", {f"c{number:02}": column(number) for number in range(8)})
    done = write_wrong_copy(source, tmp_path / "wrong", seed=3, share=0.5)
    assert sorted(one.kind for one in done) == sorted(KINDS)
    assert read_wrong(tmp_path / "wrong") == done
    changed = {one.case for one in done}
    for number in range(8):
        name = f"c{number:02}"
        masks = [read_volume(tmp_path / side / "labelsTr" / f"{name}.nii.gz") for side in ("right", "wrong")]
        assert masks[0].geometry == masks[1].geometry
        assert np.array_equal(masks[0].array, masks[1].array) == (name not in changed)
        assert (tmp_path / "wrong" / "imagesTr" / f"{name}_0000.nii.gz").resolve().parent.parent == source.resolve()
    again = write_wrong_copy(source, tmp_path / "again", seed=3, share=0.5)
    other = write_wrong_copy(source, tmp_path / "other", seed=4, share=0.5)
    assert again == done and other != done
