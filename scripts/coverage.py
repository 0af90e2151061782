"""How often the 95 % intervals hold the true score: test sets drawn from known populations.

`python scripts/coverage.py [TIMES]` prints the table of docs/what_scores_mean.md, in a few minutes.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from avloc.evaluation.bootstrap import interval
from avloc.evaluation.clusters import nmi_by_chance, weighted_nmi
from avloc.evaluation.perception import mean_average_precision
from tests.evaluation import populations

VIDEOS = (6, 27, 200)
KINDS = (3, 7, 11)


def rows(times: int):
    """Name, and the coverage at each number of videos."""
    for rate in (0.5, 0.1, 0.03):
        for alike in (0.1, 0.3, 0.6):
            found = [
                populations.coverage(populations.rates(n, rate, alike), rate, interval, times)
                for n in VIDEOS
            ]
            yield f"rate {rate:g}, items of a video correlate by {alike:g}", found
    made = [populations.means(n) for n in VIDEOS]
    yield "mean of scores", [populations.coverage(*one, interval, times) for one in made]
    by_map = partial(interval, statistic=mean_average_precision)
    by_nmi = partial(interval, statistic=weighted_nmi, chance=nmi_by_chance, draws=100)
    for kinds in KINDS:
        made = [populations.mixtures(n, kinds) for n in VIDEOS]
        yield f"mAP, {kinds} kinds", [populations.coverage(*one, by_map, times) for one in made]
    for right in (0.95, 0.8, 0.5):
        for kinds in KINDS:
            made = [populations.clustered(n, kinds, right) for n in VIDEOS]
            found = [populations.coverage(*one, by_nmi, times) for one in made]
            yield f"NMI, {kinds} kinds, {right:.0%} of the videos right", found


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| " + " | ".join(["", *(f"{n} videos" for n in VIDEOS)]) + " |")
    print("|---" + "|---:" * len(VIDEOS) + "|")
    for name, found in rows(times):
        print("| " + " | ".join([name, *(f"{100 * x:.0f} %" for x in found)]) + " |", flush=True)
