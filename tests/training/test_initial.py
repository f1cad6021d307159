"""Weights that another training learnt, as the beginning of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autospine.errors import PlanError
from autospine.networks.unet import UNet
from autospine.networks.weights import network_shapes
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training.checkpoint import save_weights
from autospine.training.initial import CarriedOver, check_fits, read_initial, start_from
from tests.training.trainings import run, segmenting, train


def network(configuration: Configuration, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return UNet(configuration.network, configuration.patch)


def test_encoder_and_bottleneck_carry_over_and_nothing_else(quick: Configuration, tmp_path: Path) -> None:
    trained, fresh, untouched = network(quick, 1), network(quick, 2), network(quick, 2)
    save_weights(tmp_path, trained)
    assert start_from(fresh, read_initial(tmp_path / WEIGHTS)) == CarriedOver(1.0, ())
    for name, tensor in fresh.state_dict().items():
        source = trained if name.startswith("encoder.") else untouched
        assert torch.equal(tensor, source.state_dict()[name]), name


def test_other_inputs_start_fresh_and_are_said(quick: Configuration, tmp_path: Path) -> None:
    wide = replace(quick, network=replace(quick.network, features=(4, 32)))
    save_weights(tmp_path, network(wide, 1))
    two = replace(wide, normalisation=("zscore",) * 2, network=replace(wide.network, in_channels=2))
    taken = start_from(network(two, 2), read_initial(tmp_path))
    assert 0.9 < taken.share < 1
    assert taken.fresh == ("encoder.0.0.conv.weight (4 x 2 x 3 x 3 x 3 here, 4 x 1 x 3 x 3 x 3 there)",)


def test_another_network_is_refused_and_nothing_changed(quick: Configuration, tmp_path: Path) -> None:
    save_weights(tmp_path, network(replace(quick, network=replace(quick.network, features=(8, 16))), 1))
    fresh, untouched = network(quick, 2), network(quick, 2)
    with pytest.raises(PlanError, match=r"only 0% of the encoder's weights fit[\s\S]*--from PLAN"):
        start_from(fresh, read_initial(tmp_path))
    assert all(torch.equal(tensor, untouched.state_dict()[name]) for name, tensor in fresh.state_dict().items())


def test_weights_without_the_fusion_module_start_it_fresh(quick: Configuration, tmp_path: Path) -> None:
    """It begins as the identity: both arms of an ablation then give the same."""
    fused = replace(quick, network=replace(quick.network, bottleneck="msff"))
    save_weights(tmp_path, network(quick, 1))
    started = network(fused, 2).eval()
    assert start_from(started, read_initial(tmp_path)) == CarriedOver(1.0, ())
    plain = network(quick, 2).eval()
    start_from(plain, read_initial(tmp_path))
    image = torch.randn(1, 1, *quick.patch)
    torch.testing.assert_close(started(image)[0], plain(image)[0])
    # weights that have it carry it over
    save_weights(tmp_path, network(fused, 3))
    again = network(fused, 4)
    start_from(again, read_initial(tmp_path))
    stored = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in again.state_dict().items() if "msff." in name)


def test_a_training_starts_from_them_once(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    """A resumed training goes on with its own, and other weights are another training."""
    (tmp_path / "source").mkdir()
    save_weights(tmp_path / "source", network(quick, 1))
    initial = read_initial(tmp_path / "source")
    folder, said = tmp_path / "fold", []
    for _ in range(2):
        run(segmenting(quick, initial=initial), small_store, folder, on_start=said.append)
    assert said == [CarriedOver(1.0, ())]
    plain = tmp_path / "plain"
    train(quick, small_store, plain)
    ours, theirs = (load_file(path / WEIGHTS) for path in (folder, plain))
    assert not torch.equal(ours["encoder.0.0.conv.weight"], theirs["encoder.0.0.conv.weight"])
    identities = {segmenting(quick, initial=weights).identity(small_store.key) for weights in (None, initial)}
    assert len(identities) == 2


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda root: root / "none", "no such file"),
        (lambda root: root, "trained folds: none"),
        (lambda root: several(root), "trained folds: fold_0, fold_1"),
        (lambda root: written(root / "text.safetensors", b"no weights"), "cannot be read as weights"),
        (lambda root: saved(root / "other.safetensors"), "no encoder in these weights"),
    ],
)
def test_what_are_no_weights(tmp_path: Path, make: Callable[[Path], Path], found: str) -> None:
    with pytest.raises(PlanError, match=found):
        read_initial(make(tmp_path))


def several(root: Path) -> Path:
    for number in range(2):
        saved(root / f"fold_{number}" / WEIGHTS)
    return root


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def saved(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_file({"backbone.weight": torch.zeros(2)}, path)
    return path


def spoil(folder: Path, name: str) -> None:
    """Weights of `folder` with a tensor of what is no number."""
    tensors = {key: tensor.clone() for key, tensor in load_file(folder / WEIGHTS).items()}
    tensors[name] *= float("nan")
    (folder / WEIGHTS).unlink()
    save_file(tensors, folder / WEIGHTS)


def test_numbers_that_are_none_do_not_carry_over(quick: Configuration, tmp_path: Path) -> None:
    """The shapes alone of a network are enough to say so, before anything of an earlier training is removed."""
    save_weights(tmp_path, network(quick, 1))
    shapes = network_shapes(quick.network, quick.patch)
    spoil(tmp_path, "heads.0.bias")  # heads start fresh, whatever these are
    check_fits(shapes, read_initial(tmp_path))
    spoil(tmp_path, "encoder.1.0.conv.weight")
    fresh, untouched = network(quick, 2), network(quick, 2)
    for start, into in ((check_fits, shapes), (start_from, fresh)):
        with pytest.raises(PlanError, match=r"encoder\.1\.0\.conv\.weight holds 864 of 864 numbers"):
            start(into, read_initial(tmp_path))
    assert all(torch.equal(tensor, untouched.state_dict()[key]) for key, tensor in fresh.state_dict().items())


def test_weights_that_change_meanwhile_are_not_taken(quick: Configuration, tmp_path: Path) -> None:
    save_weights(tmp_path, network(quick, 1))
    initial = read_initial(tmp_path)
    save_weights(tmp_path, network(quick, 3))
    with pytest.raises(PlanError, match="changed just now"):
        start_from(network(quick, 2), initial)


def test_what_may_not_be_read_is_said(quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(tmp_path, network(quick, 1))

    def forbidden(path: Path, *rest: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("is_file", "open"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, name, forbidden)
            with pytest.raises(PlanError, match=r"cannot be read \(Permission denied\)"):
                read_initial(tmp_path)
