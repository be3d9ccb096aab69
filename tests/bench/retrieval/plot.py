"""Draw a run's JSON as a picture, with the peers' environment: `python … plot.py IN.json OUT.png`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

GOOD_RECALL = 0.95


def main() -> None:
    """Draw p50 and recall over the visible share, one column per set of buckets."""
    found = json.loads(Path(sys.argv[1]).read_text())
    cells = [c for c in found["cells"] if not c["failed"] and c["clients"] == min(found["clients"])]
    k = min(found["ks"])
    cells = [c for c in cells if c["k"] == k]
    sets = list(dict.fromkeys(c["set"] for c in cells))
    figure, axes = plt.subplots(
        2,
        max(1, len(sets)),
        figsize=(6.5 * max(1, len(sets)), 9),
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for column, name in enumerate(sets):
        _draw(axes[0][column], axes[1][column], [c for c in cells if c["set"] == name])
        axes[0][column].set_title(f"audiences {name} of topic" if name == "independent"
                                  else f"audiences {name} with topic")  # fmt: skip
    axes[0][0].set_ylabel(f"p50, ms, one client, k = {k}; hollow: recall below {GOOD_RECALL}")
    axes[1][0].set_ylabel(f"recall@{k}, mean")
    lines, names = axes[0][0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(
        f"{found['chunks']:,} chunks: {found['source']}; {found['machine']}", fontsize=9
    )
    figure.savefig(sys.argv[2], dpi=130)


def _draw(above: Any, below: Any, cells: list[dict[str, Any]]) -> None:
    for line in dict.fromkeys(c["line"] for c in cells):
        points = sorted((c["visible"], c["p50"], c["recall"]) for c in cells if c["line"] == line)
        visible, p50, recall = zip(*points, strict=True)
        width = 2.5 if line == "ambit" else 1
        (drawn,) = above.loglog(visible, p50, linewidth=width, label=line)
        for x, y, share in points:
            # Hollow where it is quick because it does not find what there is.
            face = drawn.get_color() if share >= GOOD_RECALL else "white"
            above.plot(
                x, y, marker="o", markersize=5, color=drawn.get_color(), markerfacecolor=face
            )
        below.semilogx(visible, recall, marker="o", markersize=4, linewidth=width)
    below.set_ylim(-0.03, 1.03)
    below.set_xlabel("rows visible to the asker")
    for axis in (above, below):
        axis.grid(alpha=0.3, which="both")


if __name__ == "__main__":
    main()
