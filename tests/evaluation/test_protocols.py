"""Protocols are declarations: what their rules give, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from avloc.evaluation import protocols
from avloc.evaluation.protocols import PROTOCOLS, Protocol, Threshold, get

MAPS = jnp.asarray([[[0.0, 0.5], [0.25, 0.5]], [[0.0, 2.0], [1.0, 0.0]]])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Threshold("largest", 0.1), [0.4, 0.4]),
        (Threshold("own-maximum", 0.5), [0.25, 1.0]),
        (Threshold("absolute", 0.2), [0.2, 0.2]),
    ],
)
def test_thresholds(rule, expected):
    np.testing.assert_allclose(rule.value(MAPS, jnp.float32(4.0)), expected, rtol=1e-6)


def test_the_named_rules_are_the_published_ones():
    rules = {
        name: (p.task, p.threshold.of, p.threshold.fraction, p.cut, p.silent and p.silent.of)
        for name, p in PROTOCOLS.items()
    }
    assert rules == {
        "paper-solo": ("single", "largest", 0.1, 0.5, None),
        "paper": ("multiple", "largest", 0.1, 0.3, "largest"),
        "dsol-solo": ("single", "own-maximum", 0.1, 0.5, None),
        "dsol-synthetic": ("multiple", "own-maximum", 0.5, 0.3, "absolute"),
        "dsol-duet": ("multiple", "own-maximum", 0.2, 0.3, "absolute"),
        "ier-solo": ("single", "own-maximum", 0.1, 0.5, None),
        "ier": ("multiple", "own-maximum", 0.5, 0.3, "absolute"),
        "half-maximum": ("single", "own-maximum", 0.5, 0.5, None),
    }
    assert get("dsol-duet").silent.fraction == 0.2
    by_majority = {name for name, p in PROTOCOLS.items() if p.naming == "majority"}
    assert by_majority == {"ier-solo", "ier"}
    assert {p.size for p in PROTOCOLS.values()} == {224}


def test_exactly_0_3_passes_the_exact_levels_and_fails_the_published_ones():
    assert get("paper").success_cut <= 0.3
    assert get("dsol-duet").success_cut > 0.3
    assert get("dsol-solo").success_cut == 0.5


def test_published_levels_are_an_ulp_high_at_seven_places():
    published, exact = get("dsol-solo").success_levels, get("paper").success_levels
    high = [i for i in range(21) if published[i] > i / 20]
    assert high == [3, 6, 7, 12, 14, 17, 19]
    assert all(level <= i / 20 for i, level in enumerate(exact))
    np.testing.assert_allclose(exact, np.linspace(0, 1, 21), atol=2e-9)


def test_unknown_name_lists_those_there_are():
    with pytest.raises(ValueError, match=r"no protocol 'papr'.*paper-solo.*half-maximum"):
        protocols.get("papr")


def test_a_silent_rule_goes_with_many_maps_only():
    with pytest.raises(ValueError, match="`silent` goes with"):
        Protocol("odd", 1, "single", Threshold("absolute", 0.5), 0.5, Threshold("absolute", 0.2))


def test_description_names_rule_and_version():
    text = get("dsol-synthetic").describe()
    assert "dsol-synthetic (version 1)" in text
    assert "0.5 x the map's own maximum" in text
    assert "silent below 0.2" in text and "majority" not in text
    assert "clusters named by majority" in get("ier").describe()
