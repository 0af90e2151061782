"""Protocols: how maps and boxes become a score. Each is a named, versioned declaration.

Scores of one model differ more between threshold rules than between methods, so a score is
always reported with the name of its protocol. A new protocol is one more entry of `PROTOCOLS`.

The same in all of them: maps are resized first and every rule sees the resized map; the ground
truth is the union of the boxes, their pixel edges floored; a pixel is predicted where the map is
strictly above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Threshold:
    """A rule that gives each map the value at which it is cut.

    Attributes:
      of: what the fraction is taken of. `largest`: the largest value over all predicted maps of
        the evaluated set. `own-maximum`: the largest value of the map itself. `absolute`: one.
      fraction: 0 to 1.
    """

    of: Literal["largest", "own-maximum", "absolute"]
    fraction: float

    def value(
        self, maps: Float[Array, "*items y x"], largest: Float[Array, ""]
    ) -> Float[Array, "*items"]:
        """The threshold of each (resized) map; `largest` is read by the rule of that name only."""
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
        }
        return names[self.of]


@dataclass(frozen=True)
class Protocol:
    """How a set of predictions is scored.

    Attributes:
      name: what `get` takes and what every score is printed with.
      version: raised whenever a change here or in the metrics would change a score.
      task: `single`, one map an item against all that sounds in it; `multiple`, a map a category.
      threshold: cuts a map into predicted and not predicted.
      silent: for `multiple`; the tau of NSA, below which a pixel counts as not sounding. The map
        of an off-screen sound is a false alarm where a pixel of it reaches tau.
      cut: the t of IoU@t (`single`) or CIoU@t (`multiple`).
      levels: the AUC's grid 0, 0.05, ..., 1. `exact`: a score within 1e-9 of a level reaches it,
        so that exactly 0.3 passes "@0.3". `published`: float64 `0.05 * i` as in the published
        code, an ulp high at seven levels (0.3 among them), which a score of exactly 0.3 fails.
      size: side in pixels that maps are resized to.
      interpolation: of that resize, half-pixel centres, no antialiasing.
      naming: which category a cluster stands for. `assignment`: every category has a cluster, at
        the largest agreement (DSOL, CSOL). `majority`: that of most of the cluster's clips (IEr,
        supplement).
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

    def __post_init__(self) -> None:
        if (self.task == "multiple") != (self.silent is not None):
            raise ValueError(f"protocol {self.name}: `silent` goes with the task `multiple`")

    @property
    def success_levels(self) -> np.ndarray:
        """The 21 levels of the AUC, in float64; a score succeeds at a level it is not below."""
        return self._reached(np.arange(21))

    @property
    def success_cut(self) -> float:
        """What a score must not be below to count for "@cut"."""
        return float(self._reached(self.cut / 0.05))

    def _reached(self, step):
        return step / 20 - 1e-9 if self.levels == "exact" else 0.05 * np.round(step)

    def describe(self) -> str:
        """The rules on one line."""
        silent = f", silent below {self.silent}" if self.silent else ""
        naming = ", clusters named by majority" if self.naming == "majority" else ""
        return (
            f"{self.name} (version {self.version}): {self.interpolation} to {self.size}x"
            f"{self.size}, cut at {self.threshold}{silent}, success at {self.cut:g}{naming}"
        )


_TENTH_OF_LARGEST = Threshold("largest", 0.1)
_ABSOLUTE = Threshold("absolute", 0.2)


def _own(fraction: float) -> Threshold:
    return Threshold("own-maximum", fraction)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # The rule stated in the DSOL and CSOL papers.
        Protocol("paper-solo", 1, "single", _TENTH_OF_LARGEST, 0.5),
        Protocol("paper", 1, "multiple", _TENTH_OF_LARGEST, 0.3, _TENTH_OF_LARGEST),
        # The thresholds of the published DSOL code.
        Protocol("dsol-solo", 1, "single", _own(0.1), 0.5, levels="published"),
        Protocol("dsol-synthetic", 1, "multiple", _own(0.5), 0.3, _ABSOLUTE, "published"),
        Protocol("dsol-duet", 1, "multiple", _own(0.2), 0.3, _ABSOLUTE, "published"),
        # As IEr names clusters; its threshold is not stated, so this is DSOL's.
        Protocol("ier-solo", 1, "single", _own(0.1), 0.5, naming="majority"),
        Protocol("ier", 1, "multiple", _own(0.5), 0.3, _ABSOLUTE, naming="majority"),
        # Half of the map's height, which needs no other map.
        Protocol("half-maximum", 1, "single", _own(0.5), 0.5),
    )
}
"""Every protocol by its name."""


def get(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
      ValueError: there is none; the message lists those there are.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"there is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
