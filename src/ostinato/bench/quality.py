"""What a snapshot ensemble is worth against one cosine run of equal budget: read from the records of study ``snapshot-ensemble``, never run here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ostinato.bench.harness import Row
from ostinato.records import read_records

__all__ = ["measure"]

_RECORDS, _SCHEMA = Path("snapshot-ensemble/records/fashion-10k.jsonl"), "ostinato.study.record/1"
_AIMS = {"error": 0.93, "nll": 0.62}


def measure(root: Path = Path("evidence")) -> list[Row]:
    """Return the ratios of test error and NLL in the study's headline; none where its records are not there.

    A ratio is the mean over the seeds for the ensemble over that for the cosine, its spread the quartiles of the seeds' own ratios. It is
    reported as it falls: what a benchmark must reach cannot be prescribed to research.
    """
    records = read_records(root / _RECORDS, schema=_SCHEMA)
    scores = {(record["arm"], record["seed"]): record["metrics"] for record in records if record["status"] == "done"}
    seeds = [seed for arm, seed in scores if arm == "snapshots" and ("cosine", seed) in scores]
    if not seeds:
        return []
    return [
        _row(metric, [(scores["snapshots", s][metric], scores["cosine", s][metric]) for s in seeds]) for metric in _AIMS
    ]


def _row(metric: str, pairs: list[tuple[float, float]]) -> Row:
    ours, peer = np.array(pairs).T
    low, high = np.quantile(ours / peer, (0.25, 0.75))
    detail = {
        "what": f"{metric} of a 5-snapshot ensemble, against one cosine run of equal budget (record of study snapshot-ensemble)",
        "seeds": len(pairs),
        "ours": float(ours.mean()),
        "peer": float(peer.mean()),
    }
    return Row(
        f"quality: {metric}",
        float(ours.mean() / peer.mean()),
        (float(low), float(high)),
        None,
        _AIMS[metric],
        detail=detail,
    )
