"""A server's parts around a model that nobody trained, and what clients send."""

from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from safetensors.torch import save_file

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.inference.settings import Settings
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.model_file import WEIGHTS, write_model
from autospine.serve.app import make_app
from autospine.serve.limits import Limits
from autospine.serve.metrics import Metrics
from autospine.serve.segmenting import Service
from autospine.serve.turns import Turns
from autospine.workflow.steps.segmenting import Segmenter, load_segmenter
from tests.cards import card_of
from tests.workflow.predicting import GRID

LOCAL = {"Host": "127.0.0.1"}


def segmenter_of(folder: Path, configuration: Configuration, **data: Any) -> Segmenter:
    """A model with random weights; `data` are further fields of its card's data."""
    usual = {
        "labels": (("upper", 1), ("middle", 2), ("lower", 3)),
        "intensities": (IntensityPlan(0.0, 1.0, 0.0, 1.0),) * len(configuration.normalisation),
    }
    write_model(folder, card_of(configuration, **usual | data))
    torch.manual_seed(0)
    (folder / "fold_0").mkdir()
    save_file(UNet(configuration.network, configuration.patch).state_dict(), folder / "fold_0" / WEIGHTS)
    segmenter = load_segmenter(folder, torch.device("cpu"), Settings(mirror=False))
    return replace(segmenter, predictor=replace(segmenter.predictor, precision="float32"))


@dataclass
class Server:
    """An application without a socket, and all that it has said and counted."""

    segmenter: Segmenter
    folder: Path
    limits: Limits = Limits()
    token: str | None = None
    said: list[str] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.turns = Turns(self.limits.places)
        service = Service(self.segmenter, self.limits, self.said.append)
        self.app = make_app(service, self.turns, self.folder, self.token, self.metrics)

    async def ask(self, method: str, url: str, **more: object) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, url, **more)  # type: ignore[arg-type]

    def get(self, url: str, **more: object) -> httpx.Response:
        return asyncio.run(self.ask("GET", url, **more))

    def post(self, content: bytes | None = None, url: str = "/predict", **more: object) -> httpx.Response:
        if content is not None:
            more["content"] = content
        return asyncio.run(self.ask("POST", url, **more))

    def together(self, count: int, ask: Callable[[], object]) -> list[httpx.Response]:
        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*(ask() for _ in range(count)))  # type: ignore[misc]

        return asyncio.run(all_of_them())


def image(seed: int = 0, channels: int = 1, geometry: Geometry = GRID) -> Volume:
    array = np.random.default_rng(seed).normal(100, 10, (channels, *geometry.shape)).astype(np.float32)
    return Volume(array, geometry)


def file_bytes(folder: Path, name: str, volume: Volume) -> bytes:
    path = folder / name
    write_volume(path, volume)
    return path.read_bytes()


def zip_bytes(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def zipped(folder: Path) -> bytes:
    return zip_bytes({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")})


def nifti_header(shape: tuple[int, ...], kind: int = 16, bits: int = 32) -> bytes:
    """A NIfTI-1 header that says this (X, Y, Z, ...) and nothing that is not so by default."""
    import nibabel

    header = nibabel.Nifti1Header()
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["pixdim"][1 : len(shape) + 1] = 1
    header["datatype"], header["bitpix"] = kind, bits
    header["magic"], header["vox_offset"] = b"n+1", 352
    block: bytes = header.binaryblock
    return block.ljust(352, b"\0")


def bomb(size: int) -> bytes:
    """So many zeros, packed by gzip."""
    return gzip.compress(bytes(size), 9)
