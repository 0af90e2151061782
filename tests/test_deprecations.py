"""What a library is about to change fails our tests; what libraries say of each other does not."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each raises the warning of its name, on every version that our ranges admit.
OURS = {
    "DeprecationWarning": """
        with jax.sharding.Mesh(np.array(jax.devices()), ("data",)):
            pass""",
    "PendingDeprecationWarning": """
        np.matrix([[1]])""",
    "FutureWarning": """
        jnp.zeros(3, jnp.int32).at[0].set(1.5)""",
}
INSIDE = ("jax", "orbax.checkpoint.handlers", "avloc_extras", "testsuite")
THEIRS = """
        for name in {INSIDE}:
            caller = {{"__name__": name, "np": np}}
            exec("assert np.matrix([[1]]) == 1", caller)
            exec("import warnings; warnings.warn('old', DeprecationWarning)", caller)
            exec("import warnings; warnings.warn('old', FutureWarning)", caller)"""


def run(folder: Path, bodies: dict[str, str]) -> tuple[int, str]:
    """Runs tests of these bodies under this repository's own pytest settings."""
    (folder / "tests" / "room").mkdir(parents=True)
    source = ["import jax", "import jax.numpy as jnp", "import numpy as np"]
    for name, body in bodies.items():
        source += [f"class Test{name}:", f"    def test(self):{body}"]
    (folder / "tests" / "room" / "test_calls.py").write_text("\n".join(source) + "\n")
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_deprecated_call_of_ours_fails_the_test_that_makes_it(tmp_path: Path):
    status, said = run(tmp_path, OURS)
    assert status == 1, said
    assert re.findall(r"^\S+:\d+: (\w+): ", said, re.MULTILINE) == list(OURS), said


def test_a_warning_from_inside_a_library_does_not(tmp_path: Path):
    status, said = run(tmp_path, {"Theirs": THEIRS.format(INSIDE=INSIDE)})
    assert status == 0, said


def test_processes_that_tests_start_keep_the_filters():
    code = "import tests, numpy; numpy.matrix([[1]])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "\nPendingDeprecationWarning: " in done.stderr, done.stderr
