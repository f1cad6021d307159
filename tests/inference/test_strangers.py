"""Models that a stranger gave, as folders and as files: one message each, nothing executed, nothing written, no memory.

What is taken without a word, ends in a traceback, asks for more than a few hundred megabytes or leaves a trace anywhere
fails here. A sound model of each kind is loaded first, so that each of these is refused for its own fault.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import pickle
import resource
import shutil
import stat
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save, save_file

from autospine.errors import PlanError
from autospine.inference.loading import load_stages
from autospine.inference.settings import Settings
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_archive import opened_model
from autospine.planning.document.model_file import WEIGHTS, read_model, weights_digest, write_model, write_previous
from tests.cards import card_of

CPU = torch.device("cpu")
NAME = "3d_fullres"
CARD, FOLD = f"{NAME}/model.json", f"{NAME}/fold_0/model.safetensors"
ROOM = 600 << 20
"""Bytes of address space that reading a model may take beside what the process has."""
Members = dict[str, bytes]
EVIL = "TEST_EXECUTED"


class Evil:
    """Sets a variable of the environment where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return os.putenv, (EVIL, "1")


pytestmark = pytest.mark.usefixtures("temporary")


def executed() -> bool:
    """Whether somebody has set the variable, by the system and not by Python."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return getenv(EVIL.encode()) is not None


def weights_of(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Members], None]:
    def edit(members: Members) -> None:
        members[FOLD] = save({name: change(tensor).contiguous() for name, tensor in load(members[FOLD]).items()})

    return edit


def weights(content: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({FOLD: content})


def header(tensors: object, length: int | None = None) -> bytes:
    text = json.dumps(tensors).encode() if not isinstance(tensors, bytes) else tensors
    return struct.pack("<Q", len(text) if length is None else length) + text


def card(edit: Callable[[dict[str, Any]], object]) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        content = json.loads(members[CARD])
        edit(content)
        members[CARD] = json.dumps(content).encode()

    return change


def text(name: str, content: str) -> Callable[[Members], None]:
    return lambda members: members.update({name: content.encode()})


def torch_zip() -> bytes:
    file = io.BytesIO()
    torch.save({"a": Evil()}, file)
    return file.getvalue()


def about(**changes: object) -> str:
    trained = {"cases": 3, "spacing_mm": [[1, 1, 1]] * 3, "shape": [[9, 9, 9]] * 3, "slices": "axial"}
    return json.dumps({"schema": 1, "trained_on": trained | changes})


DEEP = "[" * 10**5 + "]" * 10**5
CONTENTS: dict[str, tuple[Callable[[Members], object], str]] = {
    "previous ../../etc": (card(lambda c: c["configuration"].update(previous="../../etc")), "configuration.previous"),
    "previous that is not there": (
        card(lambda c: c["configuration"].update(previous="3d_lowres")),
        "in_channels|starts from its segmentations",
    ),
    "name ../../x": (card(lambda c: c["configuration"].update(name="../../x")), "configuration.name"),
    "patch 10^9": (card(lambda c: c["configuration"].update(patch=[10**9] * 3)), "from 1 to 8192"),
    "patch 1024^3": (card(lambda c: c["configuration"].update(patch=[1024] * 3)), "at most 67108864 voxels"),
    "patch 400^3": (card(lambda c: c["configuration"].update(patch=[400] * 3)), "patch of 400 x 400 x 400"),
    "features 10^9": (card(lambda c: c["configuration"]["network"].update(features=[10**9] * 2)), "from 1 to 8192"),
    "features 8192": (card(lambda c: c["configuration"]["network"].update(features=[8192] * 2)), "GB"),
    "features 512": (card(lambda c: c["configuration"]["network"].update(features=[512] * 2)), "do not fit"),
    "10^4 classes": (card(lambda c: c.update(labels=[[f"L{n}", n] for n in range(1, 10**4)])), "at most 254 labels"),
    "label 10^30": (card(lambda c: c.update(labels=[["a", 10**30], ["b", 2], ["c", 3]])), "at most 2147483647"),
    "no labels": (card(lambda c: c.pop("labels")), "the key `labels` is missing"),
    "label drives a terminal": (
        card(lambda c: c.update(labels=[["\x1b[2J", 1], ["b", 2], ["c", 3]])),
        "control characters",
    ),
    "label of half a character": (
        card(lambda c: c.update(labels=[["\ud800", 1], ["b", 2], ["c", 3]])),
        "control characters",
    ),
    "channel turned round": (card(lambda c: c.update(channels=["T2\u202e"])), "control characters"),
    "card nested": (text(CARD, DEEP), "not a JSON file"),
    "card of 10^4 digits": (text(CARD, '{"schema": ' + "9" * 10_000 + "}"), "not a JSON file|schema"),
    "card is a list": (text(CARD, "[]"), "not a model card"),
    "card is binary": (lambda members: members.update({CARD: b"\xff\xfe\0"}), "not text in UTF-8"),
    "card of the future": (card(lambda c: c.update(schema=99)), "schema 99"),
    "about nested": (text(f"{NAME}/about.json", DEEP), "not a JSON file"),
    "about of the future": (text(f"{NAME}/about.json", '{"schema": 2}'), "schema 2"),
    "about of other keys": (text(f"{NAME}/about.json", '{"schema": 1, "run": "rm"}'), "there is no key `run`"),
    "about of no spacing": (text(f"{NAME}/about.json", about(spacing_mm=[[0, 1, 1]] * 3)), "numbers above 0"),
    "about of 10^400 cases": (text(f"{NAME}/about.json", about(cases=-1)), "at least 0"),
    "about drives a terminal": (text(f"{NAME}/about.json", about(descriptions=["\x1b]0;x"])), "control characters"),
    "temperature of 400 digits": (
        text(f"{NAME}/calibration.json", '{"temperature": ' + "9" * 400 + "}"),
        "no temperature that can be used",
    ),
    "temperature nested": (text(f"{NAME}/calibration.json", DEEP), "not a JSON file"),
    "steps nested": (text(f"{NAME}/postprocessing.json", DEEP), "not a JSON file"),
    "steps of the future": (text(f"{NAME}/postprocessing.json", '{"schema": 2}'), "schema 2"),
    "steps that run something": (
        text(f"{NAME}/postprocessing.json", '{"schema": 1, "steps": [{"kind": "run", "structure": "L1"}]}'),
        "found 'run'",
    ),
    "steps for what is not there": (
        text(f"{NAME}/postprocessing.json", '{"schema": 1, "steps": [{"kind": "largest", "structure": "cord"}]}'),
        "does not segment",
    ),
    "steps without end": (
        text(f"{NAME}/postprocessing.json", '{"schema": 1, "steps": [' + '{"kind": "largest"},' * 9999 + "{}]}"),
        "missing|at most 1000",
    ),
    "steps that drive a terminal": (
        text(f"{NAME}/postprocessing.json", '{"schema": 1, "steps": [{"kind": "fill", "structure": "\\u001b[2J"}]}'),
        "control characters",
    ),
    "weights: empty": (weights(b""), "cannot be read as weights"),
    "weights: pickle": (weights(pickle.dumps(Evil())), "cannot be read as weights"),
    "weights: torch's archive": (weights(torch_zip()), "cannot be read as weights"),
    "weights: header of 2^60": (weights(header(b"{}", 2**60)), "its header would have"),
    "weights: header of 2^63 - 1": (weights(header(b"{}", 2**63 - 1)), "its header would have"),
    "weights: header nested": (weights(header(DEEP.encode())), "cannot be read as weights"),
    "weights: shape 10^12": (
        weights(header({"x": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}})),
        "cannot be read as weights",
    ),
    "weights: overlapping tensors": (
        weights(
            header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}) + b"\0\0\0\0",
        ),
        "cannot be read as weights",
    ),
    "weights: integers": (weights_of(lambda tensor: tensor.to(torch.int64)), "is stored as I64"),
    "weights: other shapes": (weights_of(lambda tensor: tensor[:1]), "do not fit model.json"),
    "weights: NaN": (weights_of(lambda tensor: tensor * float("nan")), "NaN or infinite"),
    "weights: infinite": (weights_of(lambda tensor: tensor + float("inf")), "NaN or infinite"),
    "weights: of 64-bit numbers": (weights_of(lambda tensor: tensor.double()), "is stored as F64"),
}
"""What is wrong inside a model, whether it comes as a folder or as a file."""


@pytest.fixture
def model(make_configuration: Callable[..., Configuration], tmp_path: Path) -> Path:
    """A sound model folder."""
    configuration = make_configuration()
    torch.manual_seed(0)
    folder = tmp_path / "models" / NAME
    write_model(folder, card_of(configuration))
    (folder / "fold_0").mkdir()
    save_file(UNet(configuration.network, configuration.patch).state_dict(), folder / "fold_0" / WEIGHTS)
    return folder


def members_of(folder: Path) -> Members:
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_of(held: Members, **changes: object) -> bytes:
    listed = [
        {"name": name, "bytes": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in sorted(held.items())
    ]
    return json.dumps({"format": "autospine model", "version": 1, "model": NAME, "members": listed, **changes}).encode()


def pack(path: Path, held: Members, **manifest: object) -> Path:
    """The members with a manifest that is right, or changed."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", manifest_of(held, **manifest))
    return path


def traces(place: Path) -> dict[str, tuple[int, int]]:
    """What stands below a folder, and in that of temporary files."""
    found = [*place.rglob("*"), *Path(tempfile.gettempdir()).glob("autospine-model-*")]
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


@contextmanager
def little_memory() -> Iterator[None]:
    """A block in which the process gets `ROOM` more address space than it has."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refused(path: Path, place: Path, said: str, folds: tuple[str, ...] | None = None) -> None:
    """The model at `path` is refused in one message that says this and names it."""
    before, start = traces(place), time.process_time()
    with little_memory(), pytest.raises(PlanError, match=said) as fault:
        load_stages(path, CPU, Settings(folds))
    assert time.process_time() - start < 5
    assert traces(place) == before
    assert not executed()
    message = str(fault.value)
    assert len(message) < 20_000 and "autospine-model-" not in message
    if not fault.value.where.startswith("configuration"):
        assert str(path) in message


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("inference.too_large", "inference.loading"):
        monkeypatch.setattr(f"autospine.{module}.device_memory_gb", lambda _: 3.0)


def test_evil_does_what_it_says() -> None:
    """The canary itself: where it is unpickled, the process has the variable."""
    assert not executed()
    pickle.loads(pickle.dumps(Evil()))
    assert executed()
    os.unsetenv(EVIL)


def test_sound_ones_are_taken(model: Path, tmp_path: Path) -> None:
    file = pack(tmp_path / "a.autospine", members_of(model))
    before = traces(tmp_path)
    with little_memory():
        one, other = load_stages(model, CPU), load_stages(file, CPU)
    assert traces(tmp_path) == before
    assert one.card == other.card and one.origin == other.origin


@pytest.mark.parametrize("name", CONTENTS)
def test_contents(model: Path, tmp_path: Path, name: str) -> None:
    """The same fault in a folder and in a file whose manifest is right."""
    edit, said = CONTENTS[name]
    members = members_of(model)
    edit(members)
    for member, content in members.items():
        (model.parent / member).write_bytes(content)
    refused(model, tmp_path, said)
    refused(pack(tmp_path / "a.autospine", members), tmp_path, said)


def info(name: str, mode: int = stat.S_IFREG | 0o644, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr, made.create_system, made.compress_type = mode << 16, 3, method
    return made


def with_member(name: str, content: bytes = b"x", **how: Any) -> Callable[[Path, Members], None]:
    """A file with one more member, which its manifest lists."""

    def make(path: Path, members: Members) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for one, held in members.items():
                archive.writestr(one, held)
            archive.writestr(info(name, **how), content)
            archive.writestr("manifest.json", manifest_of({**members, name: content}))

    return make


def edited(change: Callable[[bytes], bytes]) -> Callable[[Path, Members], None]:
    """A sound file with other bytes."""

    def make(path: Path, members: Members) -> None:
        path.write_bytes(change(pack(path, members).read_bytes()))

    return make


def claiming(**manifest: object) -> Callable[[Path, Members], None]:
    return lambda path, members: void(pack(path, members, **manifest))


def void(_: object) -> None: ...


def exchanged(content: bytes, old: bytes, new: bytes, count: int = -1) -> bytes:
    assert old in content
    return content.replace(old, new, count)


def in_list(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Other bytes in the list's entry of the weights."""

    def change(content: bytes) -> bytes:
        entry = content.rindex(b"PK\x01\x02", 0, content.rindex(FOLD.encode()))
        return content[: entry + offset] + value + content[entry + offset + len(value) :]

    return change


def twice(path: Path, members: Members) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for one in (*members, CARD):
            archive.writestr(one, members[one])
        archive.writestr("manifest.json", manifest_of(members))


def many(path: Path, members: Members) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1001):
            archive.writestr(f"{NAME}/fold_{number}/previous.json", b"{}")


def endless_list(path: Path, members: Members) -> None:
    """A list of a million members, all of them one."""
    one = io.BytesIO()
    with zipfile.ZipFile(one, "w") as archive:
        archive.writestr(CARD, b"{}")
    content = one.getvalue()
    start = content.index(b"PK\x01\x02")
    entry, end = content[start : content.index(b"PK\x05\x06")], content[content.index(b"PK\x05\x06") :]
    count = 60_000
    entries = entry * count
    path.write_bytes(
        content[:start] + entries + end[:8] + struct.pack("<HHII", count, count, len(entries), start) + end[20:]
    )


def nested_manifest(path: Path, members: Members) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for one, held in members.items():
            archive.writestr(one, held)
        archive.writestr("manifest.json", DEEP)


def without_manifest(path: Path, members: Members) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for one, held in members.items():
            archive.writestr(one, held)


FILES: dict[str, tuple[Callable[[Path, Members], object], str]] = {
    "empty": (lambda path, _: path.write_bytes(b""), "not a .autospine file"),
    "a text": (lambda path, _: path.write_text("a model"), "not a .autospine file"),
    "a pickle": (lambda path, _: path.write_bytes(pickle.dumps(Evil())), "not a .autospine file"),
    "torch's archive": (lambda path, _: path.write_bytes(torch_zip()), "no part of a model has this name"),
    "cut in half": (edited(lambda content: content[: len(content) // 2]), "cannot be read as a model"),
    "without its last byte": (edited(lambda content: content[:-1]), "cannot be read as a model"),
    "its beginning alone": (edited(lambda content: content[:4]), "cannot be read as a model"),
    "noise after a beginning": (
        lambda path, _: path.write_bytes(b"PK\x03\x04" + np.random.default_rng(0).bytes(10**5)),
        "cannot be read as a model",
    ),
    "member ../": (with_member("../evil"), "no part of a model has this name"),
    "member ../ below": (with_member(f"{NAME}/../../evil"), "no part of a model has this name"),
    "member /": (with_member("/tmp/evil"), "no part of a model has this name"),
    "member C:": (with_member("C:\\evil"), "no part of a model has this name"),
    "member with backslashes": (with_member(f"{NAME}\\model.json"), "no part of a model has this name"),
    "member in other case": (with_member("3D_Fullres/Model.json"), "no part of a model has this name"),
    "member of an odd name": (with_member(f"{NAME}/fold_\u0661/model.safetensors"), "no part of a model"),
    "member with a zero byte": (
        edited(lambda content: exchanged(content, b"model.json", b"model\0json")),
        "no part of a model has this name|cannot be read as a model",
    ),
    "member of a long name": (with_member("x" * 60_000), "no part of a model has this name"),
    "a folder": (with_member(f"{NAME}/fold_1/"), "no part of a model has this name"),
    "an archive in it": (with_member("model.zip"), "no part of a model has this name"),
    "code in it": (with_member(f"{NAME}/model.py"), "no part of a model has this name"),
    "a link": (
        with_member(f"{NAME}/fold_1/model.safetensors", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
        "a link, a folder or a device",
    ),
    "a device": (with_member(f"{NAME}/fold_1/model.safetensors", mode=stat.S_IFCHR | 0o666), "or a device"),
    "a member twice": (twice, "stands there twice"),
    "encrypted": (edited(in_list(8, struct.pack("<H", 1))), "encrypted"),
    "compressed bomb": (
        with_member(f"{NAME}/fold_1/model.safetensors", bytes(1 << 26), method=zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "a compression that nobody knows": (edited(in_list(10, struct.pack("<H", 99))), "compressed|cannot be read"),
    "size beyond the file": (edited(in_list(20, struct.pack("<II", 2**31, 2**31))), "more than are left in the file"),
    "real size beyond the declared": (edited(in_list(20, struct.pack("<II", 9, 9))), "does not list what is in"),
    "a place beyond the file": (edited(in_list(42, struct.pack("<I", 2**31))), "cannot be read as a model"),
    "members over each other": (edited(in_list(42, struct.pack("<I", 0))), "cannot be read as a model|more than are"),
    "1001 members": (many, "1001 members"),
    "60 000 members": (endless_list, "its list of members has"),
    "a text of 5 MiB": (with_member(f"{NAME}/labels.json", bytes(5 << 20)), "more than 4 MiB"),
    "no manifest": (without_manifest, "no manifest.json in it"),
    "manifest nested": (nested_manifest, "not a JSON file"),
    "manifest of the future": (claiming(version=2), "version 2 of the format"),
    "manifest of a version 10^30": (claiming(version=10**30), "of the format"),
    "manifest of no version": (claiming(version="1"), "version"),
    "manifest of something else": (claiming(format="a virus"), "format"),
    "manifest of a model elsewhere": (claiming(model="../../etc"), "model"),
    "manifest of a model that is not there": (claiming(model="2d"), "no such file"),
    "manifest of nothing": (claiming(members=[]), "does not list what is in the file"),
    "another digest": (
        lambda path, members: pack(
            path,
            members,
            members=[{"name": name, "bytes": len(content), "sha256": "0" * 64} for name, content in members.items()],
        ),
        "its SHA-256 is not that of the manifest",
    ),
    "a byte changed": (edited(lambda content: exchanged(content, b'"schema": 3', b'"schema": 4')), "cannot be read"),
}
"""What is wrong with a file as a file."""


@pytest.mark.parametrize("name", FILES)
def test_files(model: Path, tmp_path: Path, name: str) -> None:
    make, said = FILES[name]
    path = tmp_path / "a.autospine"
    make(path, members_of(model))
    refused(path, tmp_path, said)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would wait for a writer that never comes, and a device never ends."""
    os.mkfifo(tmp_path / "pipe.autospine")
    refused(tmp_path / "pipe.autospine", tmp_path, "neither a folder nor a file")
    refused(Path("/dev/zero"), tmp_path, "neither a folder nor a file")
    refused(tmp_path / "none.autospine", tmp_path, "no such file")
    (tmp_path / "round.autospine").symlink_to(tmp_path / "round.autospine")
    refused(tmp_path / "round.autospine", tmp_path, "cannot be read")
    (tmp_path / "folder.autospine").mkdir()
    refused(tmp_path / "folder.autospine", tmp_path, "no such file")
    with pytest.raises(PlanError, match="cannot be read"):
        load_stages(Path("a\0b.autospine"), CPU)


def test_links_and_endless_files_in_a_folder(model: Path, tmp_path: Path) -> None:
    """What is no file is not read, and what is too large is not hashed either."""
    weights, card_file = model / "fold_0" / WEIGHTS, model / "model.json"
    content, said = weights.read_bytes(), card_file.read_bytes()
    weights.unlink()
    weights.symlink_to("/dev/zero")
    refused(model, tmp_path, "not a file")
    weights.unlink()
    os.mkfifo(weights)
    refused(model, tmp_path, "not a file")
    weights.unlink()
    weights.write_bytes(content)
    os.truncate(weights, 1 << 42)  # of which nothing lies on the disk
    refused(model, tmp_path, "cannot be read as weights")
    weights.write_bytes(content)
    os.truncate(card_file, 1 << 42)
    refused(model, tmp_path, "more than 4 MiB")
    card_file.write_bytes(said)
    load_stages(model, CPU)


def test_a_hundred_folds_that_are_one(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 101):
        (model / f"fold_{number}").mkdir()
        os.link(model / "fold_0" / WEIGHTS, model / f"fold_{number}" / WEIGHTS)
    refused(model, tmp_path, "101 trained folds")
    assert load_stages(model, CPU, Settings(("7",))).origin.folds == ("7",)
    monkeypatch.setattr("autospine.inference.loading.device_memory_gb", lambda _: 1e-4)
    monkeypatch.setattr("autospine.inference.loading.check_tile", lambda *_: None)
    refused(model, tmp_path, r"the weights of 2 fold\(s\) take", ("7", "8"))


def test_the_previous_stage_in_a_file_is_checked_alike(model: Path, tmp_path: Path) -> None:
    shutil.move(model, model.with_name("3d_lowres"))
    low = model.with_name("3d_lowres")
    first = read_model(low)
    configuration = replace(first.configuration, name="3d_lowres")
    write_model(low, replace(first, configuration=configuration))
    high = replace(
        configuration,
        name="3d_cascade_fullres",
        previous="3d_lowres",
        network=replace(configuration.network, in_channels=4),
    )
    cascade = low.with_name(high.name)
    write_model(cascade, replace(first, configuration=high))
    (cascade / "fold_0").mkdir()
    save_file(UNet(high.network, high.patch).state_dict(), cascade / "fold_0" / WEIGHTS)
    write_previous(cascade / "fold_0", {0: weights_digest(low, 0)})
    members = members_of(cascade) | members_of(low)
    file = pack(tmp_path / "a.autospine", members, model=high.name)
    assert [stage.card.configuration.name for stage in load_stages(file, CPU).stages] == [high.name, "3d_lowres"]
    stage = "3d_lowres/fold_0/model.safetensors"
    broken = {**members, stage: save({n: t * float("nan") for n, t in load_file(low / "fold_0" / WEIGHTS).items()})}
    refused(pack(file, broken, model=high.name), tmp_path, "NaN or infinite")
    without = {name: content for name, content in members.items() if not name.startswith("3d_lowres")}
    refused(pack(file, without, model=high.name), tmp_path, "starts from its segmentations")
    other = {**members, f"{high.name}/fold_0/previous.json": b'{"0": "abc"}'}
    refused(pack(file, other, model=high.name), tmp_path, "was trained on another 3d_lowres")


def test_a_fold_that_is_not_in_the_file(model: Path, tmp_path: Path) -> None:
    file = pack(tmp_path / "a.autospine", members_of(model))
    refused(file, tmp_path, "no fold 3", ("0", "3"))
    with opened_model(file, ()) as folder:
        assert folder.name == NAME and sorted(path.name for path in folder.iterdir()) == ["model.json"]
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert not folder.exists()
