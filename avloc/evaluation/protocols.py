"""Protocols: the rules that turn maps and boxes into a score, each with a name and a version.

Scores of one model can differ more between threshold rules than between methods, so a score is
always reported with the name of its protocol. A new protocol is one more entry of `PROTOCOLS`.

In all of them, maps are resized first and every rule sees the resized map; a pixel is
predicted where the map is strictly above the threshold; a category's map is the sum over its
clusters, and its score that of the surest one. (With more clusters than categories, the published
DSOL code counts only the first cluster of a sounding category as sounding, and its others as
silent.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avloc.naming import did_you_mean


@dataclass(frozen=True)
class Threshold:
    """A rule for the value at which each map is cut.

    Attributes:
      of: what the fraction is taken of. `largest`: the largest value over all predicted maps of
        the evaluated set. `own-maximum`: the largest value of the map itself. `absolute`: 1.
        `quantile`: the value that this fraction of the map's area lies below; if the maximum covers
        more than the rest of the area, all of it is predicted (`metrics.quantile_cuts`).
      fraction: 0 to 1.
    """

    of: Literal["largest", "own-maximum", "absolute", "quantile"]
    fraction: float

    def value(
        self, maps: Float[Array, "*items y x"], largest: Float[Array, ""]
    ) -> Float[Array, "*items"]:
        """The threshold of each (resized) map; only the rule `largest` uses that argument.

        Not for quantiles, which need sorted maps: `metrics.quantile_cuts`.
        """
        base = {
            "largest": lambda: jnp.full(maps.shape[:-2], largest),
            "own-maximum": lambda: maps.max((-2, -1)),
            "absolute": lambda: jnp.ones(maps.shape[:-2]),
        }[self.of]
        return self.fraction * base()

    def __str__(self) -> str:
        names = {
            "largest": f"{100 * self.fraction:g} % of the largest value over all maps",
            "own-maximum": f"{self.fraction:g} x the map's own maximum",
            "absolute": f"{self.fraction:g}",
            "quantile": f"the value that {100 * self.fraction:g} % of the map's area lies below",
        }
        return names[self.of]


@dataclass(frozen=True)
class Protocol:
    """How a set of predictions is scored.

    Attributes:
      name: what `get` takes and what every score is printed with.
      version: increased whenever a change here or in the metrics would change a score.
      task: `single`: one map per item, against everything that sounds in it; `multiple`: one map
        per category.
      threshold: cuts a map into predicted and not predicted.
      cut: the t of IoU@t (`single`) or CIoU@t (`multiple`).
      silent: for `multiple`; the tau of NSA, below which a pixel counts as not sounding. The map
        of an off-screen sound is a false alarm where a pixel of it reaches tau. None: the protocol
        has no NSA.
      levels: the AUC's grid 0, 0.05, ..., 1. `exact`: a score within 1e-9 of a level reaches it,
        so that exactly 0.3 passes "@0.3". `published`: float64 `0.05 * i` as in the published
        code, an ulp high at seven levels (0.3 among them), which a score of exactly 0.3 fails.
      size: side in pixels that maps are resized to.
      interpolation: of that resize, half-pixel centres, no antialiasing.
      naming: which category a cluster stands for. `assignment`: every category has a cluster, at
        the largest agreement (DSOL, CSOL). `majority`: that of most of the cluster's clips (IEr,
        supplement).
      edges: how boxes become pixels (`edges.pixel_edges`).
      iou: `plain`: the ground truth is the union of the boxes. `consensus`: each box is an
        annotator's vote and a pixel weighs g = min(votes / 2, 1). Of the predicted pixels A, both
        give `sum(A g) / (sum(g) + sum(A [g = 0]))` (Senocak et al. 2018).
      unit: what is averaged over in `multiple`: `scene`, of the mean IoU of its sounding
        categories; `source`, each sounding category of each scene on its own.
      level_cuts: for `multiple`; the t of each difficulty level, 1 up: scenes are scored apart by
        how many categories sound in them (C2F, Multi-Source Localization). The last is that of
        every higher level too.
      silent_at_tau: whether a pixel exactly at tau is silent.
      truth: which boxes are to be found: of what is marked as `sounding`, or of `all` objects, as
        if everything in the picture sounded; then what is heard is not scored.
    """

    name: str
    version: int
    task: Literal["single", "multiple"]
    threshold: Threshold
    cut: float
    silent: Threshold | None = None
    levels: Literal["exact", "published"] = "exact"
    size: int = 224
    interpolation: Literal["bilinear"] = "bilinear"
    naming: Literal["assignment", "majority"] = "assignment"
    edges: Literal["floored", "published"] = "floored"
    iou: Literal["plain", "consensus"] = "plain"
    unit: Literal["scene", "source"] = "scene"
    level_cuts: tuple[float, ...] = ()
    silent_at_tau: bool = False
    truth: Literal["sounding", "all"] = "sounding"

    def __post_init__(self) -> None:
        several = {
            "silent": self.silent is not None,
            "unit": self.unit == "source",
            "level_cuts": bool(self.level_cuts),
        }
        for field, used in several.items():
            if used and self.task == "single":
                raise ValueError(f"protocol {self.name}: `{field}` needs the task `multiple`")
        if self.silent is not None and self.silent.of == "quantile":
            raise ValueError(f"protocol {self.name}: `silent` cannot be a quantile")

    @property
    def success_levels(self) -> np.ndarray:
        """The 21 levels of the AUC, in float64; a score succeeds at a level it is not below."""
        return self._reached(np.arange(21))

    @property
    def success_cut(self) -> float:
        """The lowest score that counts for "@cut"."""
        return self.success(self.cut)

    def success(self, cut: float) -> float:
        """The lowest score that counts at a cut of this protocol."""
        return float(self._reached(cut / 0.05))

    def _reached(self, step):
        return step / 20 - 1e-9 if self.levels == "exact" else 0.05 * np.round(step)

    def describe(self) -> str:
        """The rules on one line."""
        told = [
            f"{self.interpolation} to {self.size}x{self.size}",
            f"cut at {self.threshold}",
            *(
                [f"silent {'up to' if self.silent_at_tau else 'below'} {self.silent}"]
                * bool(self.silent)
            ),
            f"success at {self.cut:g}",
            *(
                f"at {cut:g} for level {level}"
                for level, cut in enumerate(self.level_cuts, 1)
                if cut != self.cut
            ),
            *(["clusters named by majority"] if self.naming == "majority" else []),
            *(["box edges as the published code rounds them"] if self.edges == "published" else []),
            *(["pixels weighed by two annotators' votes"] if self.iou == "consensus" else []),
            *(["a source is an item"] if self.unit == "source" else []),
            *(["all boxes count as sounding"] if self.truth == "all" else []),
        ]
        return f"{self.name} (version {self.version}): {', '.join(told)}"


_TENTH_OF_LARGEST = Threshold("largest", 0.1)
_ABSOLUTE = Threshold("absolute", 0.2)
_MEDIAN = Threshold("quantile", 0.5)
_CODE = {"levels": "published", "edges": "published"}
_DSOL = _CODE | {"silent_at_tau": True}


def _own(fraction: float) -> Threshold:
    return Threshold("own-maximum", fraction)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # The rule stated in the DSOL and CSOL papers.
        Protocol("paper-solo", 2, "single", _TENTH_OF_LARGEST, 0.5),
        Protocol("paper", 2, "multiple", _TENTH_OF_LARGEST, 0.3, _TENTH_OF_LARGEST),
        # The arithmetic of the published DSOL code.
        Protocol("dsol-solo", 3, "single", _own(0.1), 0.5, **_CODE),
        Protocol("dsol-synthetic", 3, "multiple", _own(0.5), 0.3, _ABSOLUTE, **_DSOL),
        Protocol("dsol-duet", 3, "multiple", _own(0.2), 0.3, _ABSOLUTE, **_DSOL),
        # As IEr names clusters; its threshold is not stated, so this is DSOL's.
        Protocol("ier-solo", 2, "single", _own(0.1), 0.5, naming="majority"),
        Protocol("ier", 2, "multiple", _own(0.5), 0.3, _ABSOLUTE, naming="majority"),
        # C2F, SoundNet-Flickr: votes of annotators. Its code cuts at a tenth of the largest cell,
        # here as elsewhere of the resized map.
        Protocol(
            "c2f-flickr", 2, "single", _own(0.1), 0.5, levels="published", size=256, iou="consensus"
        ),
        # C2F eq. 9, AudioSet by difficulty.
        Protocol(
            "c2f-levels",
            3,
            "multiple",
            _own(0.1),
            0.5,
            size=256,
            level_cuts=(0.5, 0.5, 0.3),
            truth="all",
            **_CODE,
        ),
        # The same where silent objects have boxes too: a scene's level is how many categories
        # sound in it.
        Protocol("levels", 1, "multiple", _own(0.1), 0.5, size=256, level_cuts=(0.5, 0.5, 0.3)),
        # The rule of the later benchmarks: the upper half of each map. VGG-SS, then Flickr.
        Protocol("lvs-median", 2, "single", _MEDIAN, 0.5, levels="published"),
        Protocol("lvs-flickr", 2, "single", _MEDIAN, 0.5, levels="published", iou="consensus"),
        # The same on duets, where each source is an item.
        Protocol("source-wise", 2, "multiple", _MEDIAN, 0.3, levels="published", unit="source"),
        # Half of the map's height, which needs no other map.
        Protocol("half-maximum", 2, "single", _own(0.5), 0.5),
    )
}
"""Every protocol by its name."""


def get(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
      ValueError: there is none; the message lists all protocols.
    """
    if name not in PROTOCOLS:
        raise ValueError(
            f"there is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}"
            + did_you_mean(name, PROTOCOLS)
        )
    return PROTOCOLS[name]
