from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from autospine.training.progress import HISTORY, EpochRecord, write_history

RECORD = EpochRecord(
    epoch=3,
    step=40,
    seconds=12.34567891,
    learning_rate=0.01,
    train_loss=-0.5,
    validation_loss=None,
    dice=(0.25, None),
    waiting=0.125,
)


def test_the_mean_dice_is_that_of_the_classes_that_occurred() -> None:
    assert RECORD.mean_dice == 0.25
    assert EpochRecord(0, 1, 1.0, 0.1, 0.5, 0.5, (0.5, 1.0)).mean_dice == 0.75
    assert EpochRecord(0, 1, 1.0, 0.1, 0.5, 0.5, (None,)).mean_dice is None
    assert EpochRecord(0, 1, 1.0, 0.1, 0.5, None, ()).mean_dice is None


def test_a_record_comes_back_from_plain_values() -> None:
    values = asdict(RECORD)
    assert EpochRecord.from_dict({**values, "dice": list(values["dice"])}) == RECORD


def test_a_history_has_a_row_an_epoch_and_nothing_where_nothing_is_known(tmp_path: Path) -> None:
    write_history(tmp_path, [RECORD, RECORD], ("cord", "canal, left"))
    header, *rows = (tmp_path / HISTORY).read_text().splitlines()
    assert header == (
        'epoch,step,seconds,learning_rate,train_loss,validation_loss,waiting,dice_cord,"dice_canal, left",dice_mean'
    )
    assert rows == ["3,40,12.3457,0.01,-0.5,,0.125,0.25,,0.25"] * 2
