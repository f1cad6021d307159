"""What several processes that predict into one place know of each other."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from autospine.data.disk import locks
from autospine.errors import OutputError
from autospine.workflow.runs import sharing as module
from autospine.workflow.runs.predicted import Account, Failed, Made, Target
from autospine.workflow.runs.sharing import Entry, Sharing, sharing, stamp_of

MODEL = "1" * 64


def place(tmp_path: Path) -> Target:
    return Target(tmp_path / "out", False)


def come(tmp_path: Path, model: str = MODEL) -> Sharing:
    """One more process, as far as the files tell: locks are those of open files."""
    (tmp_path / "out").mkdir(exist_ok=True)
    here = Sharing(Account(place(tmp_path), model, {}), tmp_path / "in")
    here.enter(lambda said: None)
    return here


def make(here: Sharing, name: str) -> Made:
    """What a process does that segments a case."""
    made = Made(f"{name}.nii.gz", here.account.identity, f"images of {name}", f"mask of {name}")
    here.keep(name, made)
    (here.target.folder / made.file).write_bytes(name.encode())
    here.release(name)
    return made


def record(tmp_path: Path) -> dict[str, dict[str, object]]:
    content: dict[str, dict[str, object]] = json.loads((tmp_path / "out" / "prediction.json").read_text())
    return content


def test_a_case_is_at_one_process_and_free_when_that_is_gone(tmp_path: Path) -> None:
    one, two = come(tmp_path), come(tmp_path)
    assert one.claim("a") is not None and two.claim("a") is None and two.claim("b") is not None
    one.release("a")
    again = two.claim("a")
    assert again is not None and again.entry is None
    made = make(two, "a")
    seen = one.claim("a")
    assert seen is not None and seen.entry is not None and seen.entry.result == made
    assert one.is_new(seen.entry) and one.others() == two.others() == 1


def test_who_leaves_last_takes_all_away(tmp_path: Path) -> None:
    one, two = come(tmp_path), come(tmp_path)
    for here, name in ((one, "a"), (two, "b")):
        here.claim(name)
        make(here, name)
    one.last = {"device": "CPU"}
    one.leave()
    assert set(record(tmp_path)["cases"]) == {"a"} and (tmp_path / "out" / ".prediction").is_dir()
    two.leave()
    assert set(record(tmp_path)["cases"]) == {"a", "b"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz", "prediction.json"]


def test_what_a_killed_process_has_made_is_known_and_what_it_had_begun_is_not_done(tmp_path: Path) -> None:
    killed = come(tmp_path)
    killed.claim("a")
    made = make(killed, "a")
    killed.claim("b")
    killed.keep("b", Made("b.nii.gz", MODEL, "", ""))  # and then it would have got its name
    killed.claim("c")
    killed.keep("c", Failed(str(tmp_path / "in"), "c.nii.gz", "damaged"))
    for claim in killed._claims.values():  # the system does so
        claim.release()
    killed._disappear()
    (tmp_path / "out" / ".prediction" / "0123456789abcdef.present").write_text("{}")
    here = come(tmp_path)
    assert here.account.made["a"] == made and here.account.failed.keys() == {"c"} and not here.others()
    for name in "bc":
        claim = here.claim(name)
        assert claim is not None and claim.entry is not None and not here.is_new(claim.entry)
    assert here.account.judge(tmp_path / "out" / "b.nii.gz", (), False).digest == ""
    here.leave()
    assert set(record(tmp_path)["cases"]) == {"a"} and set(record(tmp_path)["failed"]) == {"c"}
    assert not list((tmp_path / "out").glob(".*"))


def test_a_line_that_was_cut_off_says_nothing() -> None:
    lines = [Entry(name, "1", "", Made(f"{name}.nii", MODEL, "", "")).to_line() for name in "ab"]
    whole = b"\n".join(lines)
    assert Entry.last_of(whole) == Entry("b", "1", "", Made("b.nii", MODEL, "", ""))
    for cut in range(len(lines[0]), len(whole) - 2):
        entry = Entry.last_of(whole[:cut])
        assert entry is not None and entry.case == "a", cut
    strange = (
        b"",
        b"[]",
        b'{"case": 1}',
        b'{"case": "a", "by": "1", "stamp": "", "made": {"file": "../a"}}',
        b"\xff\n\0",
    )
    assert [Entry.last_of(content) for content in strange] == [None] * len(strange)


def test_failures_are_kept_until_they_are_none(tmp_path: Path) -> None:
    source, other = tmp_path / "in", tmp_path / "elsewhere"
    with sharing(place(tmp_path), MODEL, source, lambda said: None) as here:
        here.keep("a", Failed.of(OutputError("a.nii", 'not "free"', "a name", "move it, or choose"), source))
        here.keep("b", Failed(str(source), "b.nii", "damaged"))
        here.keep("c", Failed(str(other), "c.nii", "damaged"))
    table = (tmp_path / "out" / "failed.csv").read_text().splitlines()
    assert table[:2] == ["case,where,found,expected,remedy", 'a,a.nii,"not ""free""",a name,"move it, or choose"']
    with sharing(place(tmp_path), MODEL, source, lambda said: None) as here:
        here.claim("a")
        make(here, "a")
    assert set(record(tmp_path)["failed"]) == {"b", "c"}
    with sharing(place(tmp_path), MODEL, source, lambda said: None) as here:
        here.complete = True  # b is no more in IN, of the other IN nothing is known
    assert set(record(tmp_path)["failed"]) == {"c"}


def test_the_record_is_put_together_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = come(tmp_path)
    here.claim("a")
    make(here, "a")
    assert record(tmp_path)["cases"] == {}  # it is there, so that OUT is no folder of images
    here.fold_sometimes()
    assert record(tmp_path)["cases"] == {}
    monkeypatch.setattr(module, "FOLDED_EVERY_S", 0.0)
    here.fold_sometimes()
    assert set(record(tmp_path)["cases"]) == {"a"}


def test_an_end_with_an_error_keeps_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*more: object) -> None:
        raise OutputError("prediction.json", "cannot be written")

    with pytest.raises(KeyboardInterrupt):
        with sharing(place(tmp_path), MODEL, tmp_path / "in", lambda said: None) as here:
            here.claim("a")
            make(here, "a")
            monkeypatch.setattr(Sharing, "_write_record", full)
            raise KeyboardInterrupt
    monkeypatch.undo()
    again = come(tmp_path)
    assert set(again.account.made) == {"a"} and not again.others()


def test_a_failure_of_another_image_of_the_name_hides_no_segmentation(tmp_path: Path) -> None:
    """A process that is killed has made a case of a name, which another one was to make of its own image."""
    killed, other = come(tmp_path), come(tmp_path)
    killed.claim("a")
    made = make(killed, "a")
    claim = other.claim("a")
    assert claim is not None and claim.entry is not None and claim.entry.result == made
    other.keep("a", Failed(str(tmp_path / "in"), "a.nii.gz", "made of another image"))
    other.release("a")
    killed._disappear()
    third = come(tmp_path)
    assert third.account.made["a"] == made and "a" in third.account.failed
    third.leave()
    other.leave()
    assert set(record(tmp_path)["cases"]) == {"a"} and set(record(tmp_path)["failed"]) == {"a"}


def test_all_cases_get_the_same_files(tmp_path: Path) -> None:
    one = come(tmp_path)
    with pytest.raises(OutputError, match=r"which writes other files \(--format"):
        with sharing(place(tmp_path), MODEL, tmp_path / "in", lambda said: None, {"format": "nrrd"}):
            raise AssertionError("came in")
    one.leave()
    with sharing(place(tmp_path), MODEL, tmp_path / "in", lambda said: None, {"format": "nrrd"}) as here:
        assert not here.others()


def test_who_cannot_come_in_or_put_down_its_account_is_gone_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prediction.json").write_text("{")
    with pytest.raises(OutputError, match="not a JSON file"):
        with sharing(place(tmp_path), MODEL, tmp_path / "in", lambda said: None):
            raise AssertionError("came in")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["prediction.json"]
    (tmp_path / "out" / "prediction.json").unlink()

    def full(*more: object) -> None:
        raise OutputError("prediction.json", "cannot be written")

    with pytest.raises(OutputError, match="cannot be written"):
        with sharing(place(tmp_path), MODEL, tmp_path / "in", lambda said: None) as here:
            here.keep("a", Failed(str(tmp_path / "in"), "a.nii", "damaged"))
            monkeypatch.setattr(Sharing, "_write_record", full)
    monkeypatch.undo()
    assert not come(tmp_path).others()


def test_a_folder_of_images_is_the_same_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sharing(place(tmp_path), MODEL, Path("in"), lambda said: None) as here:
        here.keep("a", Failed.of(OutputError("a.nii", "damaged"), Path("in")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for source, left in ((Path("in"), {"a"}), (tmp_path / "in", set[str]())):
        with sharing(place(tmp_path), MODEL, source, lambda said: None) as here:
            here.complete = True
        assert set(record(tmp_path)["failed"]) == left


def test_where_there_are_no_locks_all_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(descriptor: int, **more: object) -> bool:
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(locks.filelock, "lock_descriptor", unknown)
    one, two = come(tmp_path), come(tmp_path)
    for here, name in ((one, "a"), (two, "b")):
        assert here.claim(name) is not None
        make(here, name)
    one.leave()
    assert two.claim("c") is not None  # the first thought that it was the last
    make(two, "c")
    two.leave()
    assert set(record(tmp_path)["cases"]) == {"a", "b", "c"}


def test_stamps_tell_files_from_others(tmp_path: Path) -> None:
    one, two = tmp_path / "a.nii", tmp_path / "b.nii"
    one.write_bytes(b"1")
    two.write_bytes(b"1")
    os.utime(two, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
    assert stamp_of((one, None)) == stamp_of((one,)) != stamp_of((two,))
    before = stamp_of((one, two))
    two.write_bytes(b"12")
    assert stamp_of((one, two)) != before and stamp_of((tmp_path / "none",)) == stamp_of(())


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_others_can_go_on_whatever_the_umask_of_who_began(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o2770)
    before = os.umask(0o077)
    try:
        here = come(tmp_path)
        here.claim("a")
    finally:
        os.umask(before)
    working = tmp_path / "out" / ".prediction"
    assert working.stat().st_mode & 0o7777 == 0o2770
    assert {path.stat().st_mode & 0o777 for path in working.iterdir()} == {0o666}
