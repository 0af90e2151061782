"""Distinguishing steps by hand, and the network that takes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.models import DistinguishingSteps, InstanceNet, ResNet
from avloc.models.heads import instance_similarity, prototype_similarity

K, C, MIDDLE = 3, 5, 4
STAGES = [
    jax.random.normal(jax.random.key(0), (2, 6, 4, 3)),
    jax.random.normal(jax.random.key(1), (2, 3, 2, 7)),
]


def filled(form, seed=0):
    """A module and variables none of which is zero."""
    module = DistinguishingSteps(K, C, MIDDLE, form, rank=2)
    params = module.init(jax.random.key(2), STAGES)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    leaves = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return module, jax.tree.unflatten(tree, leaves)


def middle_features(p):
    """f_m: each stage max-pooled and transformed, combined by softmax weights."""
    weights = np.exp(p["stages"]) / np.exp(p["stages"]).sum()
    total = 0
    for i, stage in enumerate(STAGES):
        dense = p[f"stage{i + 1}"]
        pooled = np.asarray(stage).max(axis=(1, 2))
        total = total + weights[i] * (pooled @ np.asarray(dense["kernel"]) + dense["bias"])
    return np.asarray(total)


def test_a_matrix_for_each_source_by_hand():
    module, p = filled("per_class")
    f_m = middle_features(p)
    expected = np.stack([f_m @ np.asarray(p["matrices"][k]) + p["biases"][k] for k in range(K)], 1)
    np.testing.assert_allclose(module.apply({"params": p}, STAGES), expected, rtol=1e-4, atol=1e-5)


def test_factored_steps_are_of_a_matrix_u_diag_v():
    module, p = filled("factored")
    f_m = middle_features(p)
    u, v = np.asarray(p["U"]["kernel"]), np.asarray(p["V"]["kernel"])
    expected = np.stack(
        [f_m @ (v @ np.diag(p["factors"][k]) @ u) + p["biases"][k] for k in range(K)], 1
    )
    np.testing.assert_allclose(module.apply({"params": p}, STAGES), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["per_class", "factored", "none"])
def test_steps_start_at_zero(form):
    module = DistinguishingSteps(K, C, MIDDLE, form, rank=2)
    variables = module.init(jax.random.key(0), STAGES)
    np.testing.assert_array_equal(module.apply(variables, STAGES), np.zeros((2, K, C)))


@pytest.mark.parametrize("form", ["per_class", "factored"])
def test_steps_can_leave_zero(form):
    module = DistinguishingSteps(K, C, MIDDLE, form, rank=2)
    variables = module.init(jax.random.key(0), STAGES)
    target = jax.random.normal(jax.random.key(5), (2, K, C))
    gradient = jax.grad(lambda v: jnp.sum((module.apply(v, STAGES) - target) ** 2))(variables)
    largest = {
        name: np.abs(np.concatenate([np.ravel(x) for x in jax.tree.leaves(g)])).max()
        for name, g in gradient["params"].items()
    }
    assert largest["biases"] > 0
    assert largest["matrices" if form == "per_class" else "U"] > 0


def count(form, k, c, middle, rank=128):
    module = DistinguishingSteps(k, c, middle, form, rank)
    stages = [jnp.zeros((1, 2, 2, 64))]
    shapes = jax.eval_shape(module.init, jax.random.key(0), stages).get("params", {})
    own = {name: x for name, x in shapes.items() if not name.startswith("stage")}
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(own))


def test_parameter_counts_are_those_that_the_docstring_states():
    assert count("per_class", 11, 512, 512) == 11 * 512 * 512 + 11 * 512
    assert count("per_class", 5000, 512, 512) > 1.3e9
    assert count("factored", 5000, 512, 512) == 128 * (512 + 512 + 5000) + 5000 * 512
    assert count("none", 11, 512, 512) == 0


def test_unknown_form():
    with pytest.raises(ValueError, match=r"config\.identifier\.steps is 'per_class', 'factored'"):
        DistinguishingSteps(K, C, MIDDLE, "big").init(jax.random.key(0), STAGES)


@pytest.fixture(scope="module")
def network():
    small = {"width": 4, "blocks": (1, 0, 0, 1)}
    visual, audio = ResNet(stem_pool=False, **small), ResNet(**small)
    net = InstanceNet(clusters=K, visual=visual, audio=audio, embedding=6, middle=8)
    image = jax.random.normal(jax.random.key(0), (3, 32, 32, 3))
    sound = jax.random.normal(jax.random.key(1), (3, 40, 16, 1))
    variables = jax.jit(net.init)(jax.random.key(2), image, sound)
    return net, variables, image, sound


def test_expanded_features_are_g_and_a_step(network):
    net, variables, image, sound = network
    biases = jax.random.normal(jax.random.key(3), (K, 32))
    identifier = {**variables["params"]["identifier"], "biases": biases}
    variables = {**variables, "params": {**variables["params"], "identifier": identifier}}
    out = net.apply(variables, image, sound)
    expected = np.asarray(out.g)[:, None] + np.asarray(biases)
    np.testing.assert_allclose(out.instances.expanded, expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(out.instances.a, axis=-1), 1, rtol=1e-5)


def test_without_steps_every_source_hears_the_same(network):
    net, variables, image, sound = network
    out = net.apply(variables, image, sound)  # steps are zero at first
    np.testing.assert_allclose(out.instances.a, np.repeat(out.a[:, None], K, 1), rtol=1e-5)


@pytest.mark.parametrize(("visual", "audio"), [(True, False), (False, True)])
def test_a_backbone_that_stands_still_gets_no_gradient_and_keeps_its_statistics(
    network, visual, audio
):
    net, variables, image, sound = network

    def total(params):
        out, new = net.apply(
            {**variables, "params": params},
            image,
            sound,
            visual,
            audio,
            method="see_and_identify",
            mutable=["batch_stats"],
        )
        return out.v.sum() + out.g.sum() + out.f.sum(), new["batch_stats"]

    gradient, stats = jax.grad(total, has_aux=True)(variables["params"])
    for name, trains in (("visual", visual), ("audio", audio)):
        moved = any(np.abs(x).max() > 0 for x in jax.tree.leaves(gradient[name]))
        assert moved == trains
        before, after = (jax.tree.leaves(s[name]) for s in (variables["batch_stats"], stats))
        changed = any((np.asarray(x) != y).any() for x, y in zip(before, after, strict=True))
        assert changed == trains


def test_similarities_by_hand():
    prototypes = jnp.array([[1.0, 0.0], [3.0, 4.0]])
    mean = jnp.array([1.0, 1.0])
    x = jnp.array([[2.0, 0.0]])
    np.testing.assert_allclose(prototype_similarity(x, prototypes, mean, "inner"), [[2, 6]])
    np.testing.assert_allclose(
        prototype_similarity(x, prototypes, mean, "cosine"), [[1, 0.6]], rtol=1e-6
    )
    # (1, -1) with (0, -1) and with (2, 3).
    np.testing.assert_allclose(
        prototype_similarity(x, prototypes, mean, "centred_cosine"),
        [[1 / np.sqrt(2), -1 / np.sqrt(26)]],
        rtol=1e-5,
    )
    expanded = jnp.array([[[0.0, 5.0], [3.0, 4.0]]])
    np.testing.assert_allclose(
        instance_similarity(expanded, prototypes, mean, "cosine"), [[0, 1]], atol=1e-6
    )


def test_unknown_similarity():
    with pytest.raises(ValueError, match="similarity is 'inner', 'cosine' or 'centred_cosine'"):
        prototype_similarity(jnp.ones((1, 2)), jnp.ones((2, 2)), jnp.zeros(2), "dot")
