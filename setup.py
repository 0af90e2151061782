"""What avloc is called, what it needs and what it installs; tool settings are in pyproject.toml."""

import ast
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# From the versions the tests run on up to the next release that may break them.
# `requirements.lock` pins the exact set.
DEPENDENCIES = [
    "absl-py>=2.1,<3",
    "array_record>=0.8,<0.9",
    "av>=15,<19",
    "clu>=0.0.12,<0.1",
    # `jax.export` writes and reads by it, but JAX does not ask for it.
    "flatbuffers>=24.3,<27",
    "flax>=0.12,<0.13",
    "grain>=0.2.16,<0.3",
    # TFDS runs without TensorFlow only where this is installed, but does not ask for it.
    "importlib_resources>=6.4",
    "jax>=0.10,<0.11",
    "jaxtyping>=0.3,<0.4",
    "librosa>=0.11,<0.12",
    "ml-collections>=1.0,<2",
    "numpy>=2.0,<3",
    "optax>=0.2.5,<0.3",
    "orbax-checkpoint>=0.12,<0.13",
    "pillow>=11,<14",
    "protobuf>=6,<8",
    "scipy>=1.14,<2",
    "tensorboardX>=2.6,<3",
    "tensorflow-datasets>=4.9.8,<5",
    "tqdm>=4.66,<5",
]

EXTRAS = {
    # TAB in the shell, see docs/troubleshooting.md.
    "completion": ["argcomplete>=3.3,<4"],
    "test": [
        "argcomplete>=3.3,<4",
        # The notebook, which a test runs.
        "ipykernel>=6.29,<8",
        "ipython>=7.34",
        "matplotlib>=3.9,<4",
        "nbclient>=0.10,<0.12",
        "nbformat>=5.10,<6",
        "opencv-python-headless>=4.10,<6",
        "packaging>=24",
        "psutil>=5.9",
        "pytest>=8,<10",
        "pytest-xdist>=3.6,<4",
        # One minor version: the formatter's style changes between them.
        "ruff>=0.17,<0.18",
        "scikit-learn>=1.5,<2",
        "threadpoolctl>=3.5,<4",
    ],
    "notebook": ["ipykernel>=6.29,<8", "ipython>=7.34", "matplotlib>=3.9,<4"],
    # JAX 0.10 has wheels for CUDA 12 and 13; 12 runs on older drivers and cards too.
    "gpu": ["jax[cuda12]>=0.10,<0.11"],
    # To read `.pth` files; in older versions even `weights_only=True` can be made to run code.
    "torch": ["torch>=2.10,<3"],
    "tpu": ["jax[tpu]>=0.10,<0.11"],
}


def version() -> str:
    """`__version__` of avloc/__init__.py, read without importing it."""
    tree = ast.parse((HERE / "avloc" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return ast.literal_eval(node.value)
    raise ValueError("avloc/__init__.py assigns no `__version__`: add one, as in '0.1.0'.")


# The folders at the top of the repository that are installed inside the package.
FOLDERS = {f"avloc.{name}": name for name in ("data_pipelines", "configs")}
PACKAGES = find_packages(include=["avloc*"]) + [
    f"avloc.{name}" for name in find_packages(include=[f"{name}*" for name in FOLDERS.values()])
]

setup(
    name="avloc",
    version=version(),
    description="Class-aware sounding-object localization, without labels, in JAX and Flax",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=PACKAGES,
    package_dir=FOLDERS,
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["avloc = avloc.cli:main"]},
)
