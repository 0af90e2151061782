"""avloc: class-aware sounding-object localization in JAX and Flax.

`load(workdir)` gives a trained model, `draw(image, localization)` a picture of what it found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avloc.inference.localization import draw
    from avloc.inference.model import load

__version__ = "0.1.0"
__all__ = ["__version__", "draw", "load"]


def __getattr__(name: str) -> Any:
    # Lazily, so that `avloc --help` and `avloc.types` wait for neither JAX nor PyAV.
    if name == "load":
        from avloc.inference.model import load

        return load
    if name == "draw":
        from avloc.inference.localization import draw

        return draw
    raise AttributeError(f"module 'avloc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
