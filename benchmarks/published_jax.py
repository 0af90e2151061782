"""Training steps in JAX, organised as the published code organises them (see `published_torch`).

Networks and losses are the library's, so only the organisation differs: images of another
video besides the pair's own, the sound twice, the frozen networks run as a whole, each cluster of
IEr separately.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from avloc import losses
from avloc.models import Embeddings
from avloc.models.heads import unit
from avloc.training.optimizers import make_optimizer
from avloc.types import Variables
from benchmarks.step_task import Task

Inputs = Mapping[str, Array]


def match(out: Embeddings) -> Float[Array, ""]:
    """BCE of the largest value of each map; the first half are the matching images."""
    cosine = jnp.einsum("bhwd,bd->bhw", out.v, out.a).max(axis=(1, 2))
    target = jnp.arange(len(cosine)) < len(cosine) // 2
    logits = out.scale * cosine + out.bias
    return optax.sigmoid_binary_cross_entropy(logits, target.astype(jnp.float32)).mean()


class Published:
    """The losses of a task; each is `(variables, inputs, aux, taught) -> (loss, statistics)`."""

    def __init__(self, task: Task):
        self.task = task
        self.net = task.method.net

    def both(self, variables: Variables, inputs: Inputs, train: bool) -> tuple[Embeddings, Any]:
        """The pair's images and the others, and the sounds twice."""
        images = jnp.concatenate([inputs["images"], inputs["negatives"]])
        sounds = jnp.concatenate([inputs["sounds"], inputs["sounds"]])
        if not train:
            return self.net.apply(variables, images, sounds), None
        return self.net.apply(variables, images, sounds, True, mutable=["batch_stats"])

    def localization(
        self, variables: Variables, inputs: Inputs, aux: Any, taught: Any
    ) -> tuple[Float[Array, ""], Any]:
        """DSOL, stage one."""
        out, new = self.both(variables, inputs, True)
        return match(out), new

    def matching(
        self, variables: Variables, inputs: Inputs, aux: Any, taught: Any
    ) -> tuple[Float[Array, ""], Any]:
        """DSOL, stage two."""
        out, new = self.both(variables, inputs, True)
        size = len(inputs["sounds"])
        m = jnp.einsum("bhwc,kc->bhwk", out.f[:size], aux["dictionary"])
        s = m * out.localization()[:size, ..., None]
        heard = taught.audio_logits[:size]
        distance = losses.kl_divergence(s.mean(axis=(1, 2)), heard, jnp.ones(size, bool))
        return distance + 0.5 * match(out), new

    def identification(
        self, variables: Variables, inputs: Inputs, aux: Any, taught: Any
    ) -> tuple[Float[Array, ""], Any]:
        """IEr, stage one: single clips use their own embedding, mixtures that of each cluster."""

        def hear(net: Any, sounds: Array) -> tuple[Array, Any]:
            stages = net.audio.stages(sounds, True)
            return stages[-1].max(axis=(1, 2)), net.instances(stages)

        (g, instances), new = self.net.apply(
            variables, inputs["sounds"], method=hear, mutable=["batch_stats"]
        )
        similar = []
        for k, prototype in enumerate(aux["audio_prototypes"]):
            mixed = unit(instances.expanded[:, k]) @ unit(prototype)
            similar.append(jnp.where(inputs["mixed"], mixed, unit(g) @ unit(prototype)))
        present = inputs["present"].astype(jnp.float32)
        logits = instances.scale * jnp.stack(similar, axis=1) + instances.bias
        statistics = {**variables["batch_stats"], **new["batch_stats"]}
        return optax.sigmoid_binary_cross_entropy(logits, present).mean(), {
            "batch_stats": statistics
        }

    def referral(
        self, variables: Variables, inputs: Inputs, aux: Any, taught: Any
    ) -> tuple[Float[Array, ""], Any]:
        """IEr, stage two."""
        out, new = self.both(variables, inputs, True)
        size = len(inputs["sounds"])
        f, v, instances = out.f[:size], out.v[:size], out.instances
        seen, shares, heard = [], [], []
        for k, prototype in enumerate(aux["dictionary"]):
            visual = jnp.clip(unit(f) @ unit(prototype), 0, 1)
            cosine = jnp.einsum("bhwd,bd->bhw", v, instances.a[:size, k])
            seen.append((jax.nn.sigmoid(out.scale * cosine + out.bias) * visual).mean(axis=(1, 2)))
            shares.append((visual > visual.mean()).astype(jnp.float32).mean(axis=(1, 2)))
            similar = unit(instances.expanded[:size, k]) @ unit(aux["audio_prototypes"][k])
            heard.append(jax.nn.sigmoid(instances.scale * similar + instances.bias))
        share = jax.lax.stop_gradient(jnp.stack(shares, axis=1))
        referred = losses.audio_guided_logits(jnp.stack(heard, axis=1), share)
        distance = losses.cross_distillation(
            jnp.stack(seen, axis=1), referred, jnp.ones(size, bool), "soft"
        )
        return distance + 0.5 * match(out), new


def step(task: Task) -> Callable[[], Float[Array, ""]]:
    """A function that takes one step, and returns the loss before it."""
    published = Published(task)
    loss = getattr(published, task.phase.name)
    optimizer = make_optimizer(task.config.optimizers[task.phase.optimizer])

    # A separate program, because it is a separate call there: nothing is optimized away.
    @jax.jit
    def teach(variables: Variables, inputs: Inputs) -> Embeddings:
        return published.both(variables, inputs, False)[0]

    @jax.jit
    def update(variables: Variables, moments: Any, inputs: Inputs, aux: Any, taught: Any) -> Any:
        def value(params: Any) -> Any:
            return loss({**variables, "params": params}, inputs, aux, taught)

        params = variables["params"]
        (found, new), gradients = jax.value_and_grad(value, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return {"params": optax.apply_updates(params, updates), **new}, moments, found

    frozen = variables = task.state.variables
    moments = task.state.optimizers[task.phase.optimizer]
    inputs, aux = jax.device_put((dict(task.inputs), dict(task.state.aux)))

    def take() -> Float[Array, ""]:
        nonlocal variables, moments
        taught = teach(frozen, inputs) if task.phase.name == "matching" else None
        variables, moments, found = update(variables, moments, inputs, aux, taught)
        return found

    return take
