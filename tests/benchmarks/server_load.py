"""`autospine serve` under load: 200 requests at once, 20 of them malformed, oversized or malicious.

    python -m tests.benchmarks.server_load                      # a made-up model, the whole run
    python -m tests.benchmarks.server_load --requests 40 --bad 10 --model MODEL

The server is a process of its own. Each good request has to be answered with the labels that a lone request gives, at
once or after a 503 and the time that this names; each bad one with the status that belongs to it. Meanwhile the
server's resident memory is sampled. Afterwards the server has to be alive, to answer as before, and to have nothing of
the requests left on the disk. Exit code 1 where one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # for what tests share

TOKEN = "0123456789abcdef-load"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
UPLOAD_MB, MEMORY_GB, QUEUE = 20, 1, 8
MARGIN = 200e6
"""Bytes beyond what the server was told that it may have: connections, and what allocators keep (ours)."""


@dataclass(frozen=True)
class Bad:
    """A request that is not to be served."""

    name: str
    content: bytes
    statuses: tuple[int, ...]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Memory:
    """Resident bytes of a process, looked at every 20 ms."""

    process: int
    samples: list[int] = field(default_factory=list)

    @contextmanager
    def sampled(self) -> Iterator[None]:
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(0.02):
                self.samples.append(self.now())

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def now(self) -> int:
        pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run it and print what was found."""
    asked = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = asked.model or made_up_model(folder / "runs" / "noise" / "2d")
        goods, bads = good_requests(folder, asked.shape), bad_requests()
        with server(folder, model) as (process, address):
            wrong = asyncio.run(load(asked, address, Memory(process.pid), goods, bads))
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        left = [path.name for path in (folder / "temporary").iterdir() if "autospine" in path.name]
    print(f"ended with exit code {code}, left on the disk: {left or 'nothing'}")
    sys.exit(bool(wrong or code or left))


async def load(
    asked: argparse.Namespace, address: str, memory: Memory, goods: Sequence[bytes], bads: Sequence[Bad]
) -> list[str]:
    """What went wrong, a line each; the figures are printed."""
    limits = httpx.Limits(max_connections=asked.requests + 8)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=600) as client:
        expected, alone = [], []
        for content in goods * 4:
            start = time.monotonic()
            answer = await client.post("/predict", content=content, headers=HEADERS)
            answer.raise_for_status()
            alone.append(time.monotonic() - start)
            expected.append(answer.content)
        before = memory.now()
        counts: Counter[str] = Counter()
        work = []
        for index in range(asked.requests):
            if index * asked.bad // asked.requests != (index + 1) * asked.bad // asked.requests:
                work.append(refused(client, bads[index * asked.bad // asked.requests % len(bads)], counts))
            else:
                which = index % len(goods)
                work.append(answered(client, goods[which], expected[which], counts))
        with memory.sampled():
            start = time.monotonic()
            done = await asyncio.gather(*work)
            took = time.monotonic() - start
        wrong = [said for said, _ in done if said]
        seconds = [passed for _, passed in done if passed is not None]
        after = await client.post("/predict", content=goods[0], headers=HEADERS)
        health = (await client.get("/health")).json()
    if after.content != expected[0] or health["status"] != "ready" or health["queue"]:
        wrong.append(f"afterwards: {after.status_code}, {health}")
    peak, most = max(memory.samples), MEMORY_GB * 1e9 + MARGIN
    if peak > most:
        wrong.append(f"memory: {peak / 1e6:.0f} MB, at most {most / 1e6:.0f} MB")
    print(f"alone: {described(alone)} a request")
    print(f"{asked.requests} at once, {asked.bad} of them bad: {took:.1f} s in all; {dict(sorted(counts.items()))}")
    print(f"answered, with waiting and coming again: {described(seconds)}")
    print(f"resident memory: {before / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at the peak")
    print("\n".join(["wrong:", *wrong]) if wrong else "all answers as they should be")
    return wrong


async def answered(
    client: httpx.AsyncClient, content: bytes, expected: bytes, counts: Counter[str]
) -> tuple[str, float | None]:
    """What is wrong with the answer, and the seconds until it was there."""
    start = time.monotonic()
    while True:
        answer = await client.post("/predict", content=content, headers=HEADERS)
        counts[str(answer.status_code)] += 1
        if answer.status_code != 503:
            break
        await asyncio.sleep(float(answer.headers["retry-after"]) * np.random.default_rng().uniform(0.1, 1))
    right = answer.status_code == 200 and same(answer.content, expected)
    return ("" if right else f"a good request: {answer.status_code}"), time.monotonic() - start


async def refused(client: httpx.AsyncClient, bad: Bad, counts: Counter[str]) -> tuple[str, None]:
    """What is wrong with the refusal; where the server is busy, it has to come in the end."""
    while True:
        try:
            answer = await client.post("/predict", content=bad.content, headers={**HEADERS, **bad.headers})
        except httpx.TransportError as fault:
            # who sends much more than may be sent can find the connection closed
            counts["closed"] += 1
            return ("" if 413 in bad.statuses else f"{bad.name}: {fault!r}"), None
        counts[str(answer.status_code)] += 1
        if answer.status_code != 503:
            break
        await asyncio.sleep(float(answer.headers["retry-after"]) * 0.5)
    return ("" if answer.status_code in bad.statuses else f"{bad.name}: {answer.status_code} {answer.text}"), None


def same(content: bytes, expected: bytes) -> bool:
    """Whether two answers say the same: to the bit, or for DICOM, which says when it was made, in their voxels."""
    if not content[128:132] == expected[128:132] == b"DICM":
        return content == expected
    from pydicom import dcmread

    one, other = (dcmread(io.BytesIO(held)) for held in (content, expected))
    return bool(one.PixelData == other.PixelData and one.StudyInstanceUID == other.StudyInstanceUID)


def described(seconds: Sequence[float]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(seconds)
    return f"p50 {statistics.median(ordered):.2f} s, p95 {ordered[int(0.95 * (len(ordered) - 1))]:.2f} s"


def good_requests(folder: Path, shape: tuple[int, ...]) -> list[bytes]:
    """Images in several formats, and a series of DICOM."""
    from autospine.data.geometry import Geometry, Volume
    from autospine.data.volume import write_volume
    from tests.data.dicom_files import write_series

    grid = Geometry((shape[0], shape[1], shape[2]), (4.0, 0.8, 0.8), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    made = []
    for seed, suffix in enumerate((".nii.gz", ".nrrd", ".mha")):
        array = np.random.default_rng(seed).normal(300, 60, (1, *shape)).astype(np.int16)
        write_volume(folder / f"image{suffix}", Volume(array, grid))
        made.append((folder / f"image{suffix}").read_bytes())
    files = write_series(folder / "series", np.abs(array[0]).astype(np.uint16), grid)
    return [*made, zipped({f"Study/MR/{path.name}": path.read_bytes() for path in files})]


def bad_requests() -> list[Bad]:
    """One of each kind."""
    zeros = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(zeros.compress(bytes(1 << 24)) for _ in range(64)), zeros.flush()])
    header = bytearray(gzip.decompress(nifti()))
    header[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    link = zipfile.ZipInfo("image.dcm")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    deep = zipped({"a.zip": zipped({"b.zip": zipped({"c.dcm": bytes(10**7)})})})
    return [
        Bad("empty", b"", (400,)),
        Bad("garbage", os.urandom(100_000), (415,)),
        Bad("a gzip bomb of 1 GB", bomb, (413,)),
        Bad("a zip bomb", zipped({"a.dcm": bytes(200_000_000)}), (413,)),
        Bad("a zip in a zip", deep, (415,)),
        Bad("../", zipped({"../../evil.dcm": b"x"}), (400,)),
        Bad("an absolute name", zipped({"/etc/evil.dcm": b"x"}), (400,)),
        Bad("a link", zipped({link: b"/etc/passwd"}), (400,)),
        Bad("30 000 files", zipped({str(index): b"" for index in range(30_000)}), (413,)),
        Bad("too large", bytes((UPLOAD_MB + 5) * 10**6), (413,)),
        Bad("a header of 10^13 voxels", bytes(header), (413, 400)),
        Bad("cut off", nifti()[:-200], (400,)),
        Bad("a wrong token", nifti(), (401,), {"Authorization": "Bearer wrong"}),
        Bad("JSON", b"{}", (415,), {"Content-Type": "application/json"}),
        Bad("no form", b"--x--", (400,), {"Content-Type": "multipart/form-data; boundary=y"}),
        Bad("100 files", form(100), (413,), {"Content-Type": "multipart/form-data; boundary=x"}),
        Bad("two channels", form(2, nifti()), (422,), {"Content-Type": "multipart/form-data; boundary=x"}),
        Bad("another file as voxels", detached(), (400,)),
        Bad("NaN", nifti(np.nan), (400,)),
        Bad("a zip that is cut off", zipped({"a.dcm": os.urandom(10_000)})[:5_000], (400,)),
    ]


def nifti(value: float = 1.0) -> bytes:
    """A small image."""
    import nibabel

    image = nibabel.Nifti1Image(np.full((16, 16, 4), value, np.float32), np.eye(4))
    return gzip.compress(image.to_bytes())


def detached() -> bytes:
    """A header that names a file of the server."""
    return b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: /etc/passwd\n\n"


def zipped(members: dict[str, bytes] | dict[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def form(count: int, content: bytes = b"x") -> bytes:
    """So many files in a form."""
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="../../a.nii"\r\n\r\n%b\r\n' % content
    return part * count + b"--x--\r\n"


def made_up_model(folder: Path) -> Path:
    """A 2D model with random weights."""
    import torch
    from safetensors.torch import save_file

    from autospine.networks.unet import UNet
    from autospine.planning.document.data import DataPlan, IntensityPlan
    from autospine.planning.document.model_card import ModelCard
    from autospine.planning.document.model_file import WEIGHTS, write_model
    from tests.benchmarks.memory import plan

    configuration = plan((128, 128), 2, (8, 16, 32), 4)
    labels = tuple((f"structure {value}", value) for value in range(1, 5))
    write_model(
        folder,
        ModelCard(DataPlan("noise", ("T2",), (IntensityPlan(300.0, 60.0, 100.0, 500.0),), labels), configuration),
    )
    torch.manual_seed(0)
    (folder / "fold_0").mkdir()
    save_file(UNet(configuration.network, configuration.patch).state_dict(), folder / "fold_0" / WEIGHTS)
    return folder


@contextmanager
def server(folder: Path, model: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server of `model` and its address."""
    (folder / "temporary").mkdir()
    words = ["--model", model, "--port", 0, "--queue", QUEUE, "--max-upload", f"{UPLOAD_MB}MB", "--memory", MEMORY_GB]
    variables = {**os.environ, "TMPDIR": str(folder / "temporary"), "AUTOSPINE_TOKEN": TOKEN}
    command = [sys.executable, "-m", "autospine", "serve", *map(str, words), "--device", "cpu"]
    said = folder / "said"
    with said.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=variables) as process:
        try:
            while (found := re.search(r"http://[\d.]+:\d+", said.read_text())) is None:
                if process.poll() is not None:
                    sys.exit(said.read_text())
                time.sleep(0.1)
            yield process, found[0]
        finally:
            process.kill()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--bad", type=int, default=20)
    parser.add_argument("--model", type=Path, help="a model of one channel; a made-up one if not given")
    parser.add_argument("--shape", type=int, nargs=3, default=(12, 192, 192), help="slices, rows and columns")
    return parser.parse_args()


if __name__ == "__main__":
    main()
