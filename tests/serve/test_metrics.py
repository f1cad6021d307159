from __future__ import annotations

from autospine.serve.metrics import Metrics


def values(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_requests_by_route_and_status() -> None:
    metrics = Metrics()
    for status, seconds in ((200, 0.2), (200, 3.0), (413, 0.05)):
        metrics.count("/predict", status, seconds, 10)
    metrics.prediction_s.add(2000.0)
    found = values(metrics.text(2, 9))
    assert found['autospine_requests_total{route="/predict",status="200"}'] == 2
    assert found['autospine_requests_total{route="/predict",status="413"}'] == 1
    assert found["autospine_received_bytes_total"] == 30
    assert (found["autospine_queue_length"], found["autospine_queue_places"]) == (2, 9)
    assert found['autospine_prediction_seconds_bucket{le="900"}'] == 0
    assert found['autospine_prediction_seconds_bucket{le="+Inf"}'] == found["autospine_prediction_seconds_count"] == 1


def test_buckets_count_all_that_took_less() -> None:
    metrics = Metrics()
    for seconds in (0.1, 0.11, 4.0):
        metrics.count("/predict", 200, seconds, 0)
    found = values(metrics.text(0, 1))
    buckets = [value for name, value in found.items() if name.startswith("autospine_request_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert [found[f'autospine_request_seconds_bucket{{le="{bound}"}}'] for bound in ("0.1", "0.25", "5")] == [1, 2, 3]
    assert abs(found["autospine_request_seconds_sum"] - 4.21) < 1e-9


def test_every_figure_has_its_type_once() -> None:
    lines = Metrics().text(0, 1).splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    names = {line.split("{")[0].split()[0] for line in lines if not line.startswith("#")}
    assert "process_resident_memory_bytes" in names
    assert all(any(name.startswith(kind) for kind in types) for name in names)
