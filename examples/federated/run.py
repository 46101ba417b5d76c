"""Run the federation in Flower's simulation engine on this machine, and draw what came out: ``python run.py --help``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ostinato.applications.federated.loopback import Loopback
from ostinato.errors import OstinatoError

HERE = Path(__file__).parent


def main() -> int:
    """Read the options, run, print, draw; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/federated"))
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--assignment", default="equispaced", help="equispaced, golden, random, or together: the synchronous federation"
    )
    parser.add_argument("--plain", action="store_true", help="average without normalising unequal progress")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    config = {
        "clients": given.clients, "rounds": given.rounds, "assignment": given.assignment, "normalise": not given.plain, "out": str(given.out.resolve()),
    }  # fmt: skip
    print(f"starting Flower; its logs are in {given.out / 'flower'}", flush=True)
    try:
        with Loopback(given.out / "flower", simulated=True) as link:
            for line in link.run(HERE, config, nodes=given.clients):
                if "ostinato:" in line or "ERROR" in line:
                    print(line.partition("ostinato: ")[2] or line, flush=True)
        document = json.loads((given.out / "result.json").read_text())
    except (OstinatoError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    draw(document, given.out / "federation.png")
    print(
        f"test error {100 * document['errors'][-1]:.2f} % after {given.rounds} rounds; picture: {given.out / 'federation.png'}"
    )
    return 0


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw the clients' rates at the beginning of each round, and the error of the common model."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    rounds = len(document["rates"][0])
    image = above.imshow(
        document["rates"], aspect="auto", cmap="viridis", extent=(0, rounds, len(document["rates"]) - 0.5, -0.5)
    )
    figure.colorbar(image, ax=above, label="learning rate")
    above.set(ylabel="client", title=f"{document['data']}: each client's rate, and the error of the model they share")
    below.plot(range(rounds + 1), [100 * error for error in document["errors"]], marker=".", color="#33508a")
    below.set(xlabel="round", ylabel="test error (%)", ylim=(0, None), xlim=(0, rounds))
    below.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
