"""What pyproject.toml cannot say: the packages found in the folders that lie beside `avloc/`."""

from setuptools import find_packages, setup

# Installed inside the package, so that they meet no `configs` of a user's own project.
FOLDERS = {f"avloc.{name}": name for name in ("data_pipelines", "configs")}

setup(
    packages=find_packages(include=["avloc*"])
    + [
        f"avloc.{name}" for name in find_packages(include=[f"{name}*" for name in FOLDERS.values()])
    ],
    package_dir=FOLDERS,
)
