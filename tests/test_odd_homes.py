"""Accounts and containers without a home, a temporary folder or shared memory: silent, and right all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import autospine
from autospine.workflow.plan import PlanRequest, plan_dataset

BARE = {
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONPATH": str(Path(autospine.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
}
AUTOSPINE = (sys.executable, "-m", "autospine")
PICTURE = Path("described") / "Wirbelsäule" / "contact_sheet.png"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="another notion of a home")

READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind /
for place in /tmp /var/tmp "$HOME" "$2"; do
    [ ! -d "$place" ] || { mount --bind "$place" "$place"; mount -o remount,ro,bind "$place"; }
done
mount --bind "$1" "$1"
mount -o remount,rw,bind "$1"
cd /
shift 2
! touch /tmp/none 2>/dev/null
exec "$@"
"""
"""All that processes write to is read-only but `$1`; `$2` is one more that is."""


@pytest.fixture(scope="module")
def planned(toy_dataset: Path, toy_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy data set under a name that is not ASCII, and with `runs` in which it is planned."""
    place = tmp_path_factory.mktemp("odd")
    shutil.copytree(toy_dataset, place / "Wirbelsäule")
    recipe = place / "one.toml"
    recipe.write_text(toy_recipe.read_text() + 'configurations = ["2d"]\n')
    plan_dataset(place / "Wirbelsäule", place / "runs", PlanRequest(recipe=str(recipe), device="cpu"))
    return place


def said(words: tuple[str, ...], place: Path, **environment: str) -> str:
    """What a command says that ends well, on both streams."""
    done = subprocess.run(words, cwd=place, env=BARE | environment, capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, text
    return text


def without_times(text: str) -> list[str]:
    return [line for line in text.splitlines() if " in 0 s" not in line and " in 1 s" not in line]


DESCRIBE = (*AUTOSPINE, "describe", "Wirbelsäule", "--runs", "described")


@pytest.fixture(scope="module")
def usual(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], bytes]:
    """What `describe` says at a home of one's own, and the picture that it draws."""
    text = said(DESCRIBE, planned, HOME=str(tmp_path_factory.mktemp("home")))
    return without_times(text), (planned / PICTURE).read_bytes()


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"HOME": "/proc/nonexistent"},
        {"HOME": "/dev/null"},
        {"HOME": "/", "XDG_CACHE_HOME": "/proc/none", "XDG_CONFIG_HOME": "/proc/none"},
        {"HOME": "/root"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "TMPDIR": "/proc/none"},
    ],
    ids=["no home", "a missing one", "a file", "closed caches", "another user's", "locale C", "locale POSIX"],
)
def test_a_report_and_a_picture_from_any_home(
    planned: Path, usual: tuple[list[str], bytes], odd: dict[str, str]
) -> None:
    """What is said is what is said at home, to the letter: no advice, no warning."""
    (planned / PICTURE).unlink()
    assert without_times(said(DESCRIBE, planned, **odd)) == usual[0]
    assert (planned / PICTURE).read_bytes() == usual[1]


def test_a_training_and_a_prediction_without_a_home(planned: Path, tmp_path: Path) -> None:
    """No HOME, no language, a folder for temporary files that is not there: the way from plan to scores."""
    shutil.copytree(planned, tmp_path / "work")
    place, odd = tmp_path / "work", {"LC_ALL": "C", "TMPDIR": "/proc/none"}
    runs = place / "runs" / "Wirbelsäule" / "2d"
    for words in (
        ("train", "Wirbelsäule", "0", "--device", "cpu"),
        ("predict", "Wirbelsäule/imagesTr", "predicted", "--model", str(runs), "--device", "cpu"),
        ("evaluate", "predicted", "Wirbelsäule/labelsTr"),
    ):
        text = said((*AUTOSPINE, *words), place, **odd)
        assert not any(word in text.lower() for word in ("warn", "traceback", "matplotlib", "fontconfig", "error"))
    assert (runs / "fold_0" / "progress.png").is_file()
    assert (place / "predicted" / "metrics.json").is_file()


@pytest.mark.parametrize("shared_memory", [True, False])
def test_a_container_that_is_read_only(planned: Path, tmp_path: Path, shared_memory: bool) -> None:
    """All but the results cannot be written; without shared memory a folder has to be named for temporary files."""
    place = tmp_path / "work"
    shutil.copytree(planned, place)
    closed = "/proc/none" if shared_memory else "/dev/shm"
    enter = ("unshare", "-m", "bash", "-c", READ_ONLY, "bash", str(place), closed)
    home = BARE | {"HOME": str(Path.home())}
    if sys.platform != "linux" or subprocess.run((*enter, "true"), env=home, capture_output=True).returncode:
        pytest.skip("only root may make a place read-only")
    words = ("train", str(place / "Wirbelsäule"), "0", "--runs", str(place / "runs"), "--device", "cpu")
    told = {} if shared_memory else {"TMPDIR": str(place)}
    text = said((*enter, *AUTOSPINE, *words, "--workers", "2"), place, HOME=str(Path.home()), **told)
    assert not any(word in text.lower() for word in ("warn", "traceback", "matplotlib", "fontconfig"))
    assert (place / "runs" / "Wirbelsäule" / "2d" / "fold_0" / "progress.png").is_file()
    if not shared_memory:
        refused = subprocess.run((*enter, *AUTOSPINE, *words), env=home, capture_output=True, text=True, check=False)
        assert refused.returncode == 1 and "set TMPDIR to a folder" in " ".join(
            refused.stdout.split() + refused.stderr.split()
        )
