"""Environments are built once, whole, and only from what was asked; the user's interpreter is found on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from gates.errors import InvalidInput, Unavailable
from gates.runtime import environments, indexes, process

PYTHON = Path(sys.executable)
SAID: list[str] = []


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Two wheels of our own, so that nothing is fetched."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version in (("gatesprobe", "1.0"), ("gatesprobe", "2.0"), ("gatesother", "0.1")):
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder


@pytest.fixture
def env(wheels: Path, tmp_path: Path) -> dict[str, str]:
    """A user's environment whose only package source is pip's configuration file, which uv does not read."""
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_CONFIG_FILE": str(config)}


def version_of(python: Path, module: str) -> str:
    code = f"import {module}; print({module}.VERSION)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_build_uses_pips_indexes_and_is_cached(
    tmp_path: Path, env: dict[str, str], builder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if builder == "pip":
        monkeypatch.setattr(environments, "find_uv", lambda _: None)
    elif environments.find_uv(env) is None:
        pytest.skip("uv is not installed")
    said: list[str] = []
    cache = tmp_path / "cache with space"
    lines = ["gatesprobe<2", "gatesother"]
    python = environments.build(lines, python=PYTHON, cache=cache, env=env, say=said.append)
    assert version_of(python, "gatesprobe") == "1.0"
    assert builder in said[0]
    found = environments.freeze(python, env)
    assert found["gatesprobe"] == "1.0"
    assert found["gatesother"] == "0.1"
    assert "mlflow" not in found
    assert environments.describe(python, env).version == environments.describe(PYTHON, env).version

    said.clear()
    assert environments.build(lines[::-1], python=PYTHON, cache=cache, env=env, say=said.append) == python
    assert said == [], "it is the same, and nothing was built"
    other = environments.build(["gatesprobe"], python=PYTHON, cache=cache, env=env, say=said.append)
    assert other != python
    assert version_of(other, "gatesprobe") == "2.0"


def test_a_half_built_environment_is_built_again(tmp_path: Path, env: dict[str, str]) -> None:
    said: list[str] = []
    python = environments.build(["gatesprobe"], python=PYTHON, cache=tmp_path / "c", env=env, say=said.append)
    home = python.parent.parent
    (home / environments.COMPLETE).unlink()
    next(home.glob("lib/python*/site-packages/gatesprobe.py")).unlink()
    again = environments.build(["gatesprobe"], python=PYTHON, cache=tmp_path / "c", env=env, say=said.append)
    assert again == python
    assert version_of(python, "gatesprobe") == "2.0"
    assert any("half built" in line for line in said)


def test_an_environment_whose_interpreter_is_gone_is_built_again(tmp_path: Path, env: dict[str, str]) -> None:
    python = environments.build(["gatesprobe"], python=PYTHON, cache=tmp_path / "c", env=env, say=SAID.append)
    python.unlink()
    python.symlink_to(tmp_path / "no-such-python")
    environments.build(["gatesprobe"], python=PYTHON, cache=tmp_path / "c", env=env, say=SAID.append)
    assert version_of(python, "gatesprobe") == "2.0"


def test_what_cannot_be_resolved_is_unavailable_with_the_resolvers_words(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="could not be built") as caught:
        environments.build(["gatesprobe==9"], python=PYTHON, cache=tmp_path / "c", env=env, say=SAID.append)
    assert "gatesprobe==9" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "c").glob(f"*/{environments.COMPLETE}"))


def test_builders_at_once_do_no_harm(tmp_path: Path, env: dict[str, str]) -> None:
    code = f"""
        from pathlib import Path
        from gates.runtime import environments
        print(environments.build(["gatesprobe"], python=Path({str(PYTHON)!r}), cache=Path({str(tmp_path / "c")!r}),
                                 env={env!r}, say=print))
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(code)]
    builders = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [builder.communicate(timeout=120)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0] * 4
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    assert sum("built in" in output for output in outputs) == 1
    assert version_of(Path(outputs[0].splitlines()[-1]), "gatesprobe") == "2.0"


def test_a_builder_that_is_killed_leaves_nothing_that_passes_for_built(tmp_path: Path, env: dict[str, str]) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from gates.runtime import environments, process
        run = process.run
        def dies(argv, **more):
            ended = run(argv, **more)
            if 'install' in map(str, argv):
                os.kill(os.getpid(), signal.SIGKILL)
            return ended
        environments.process.run = dies
        environments.build(["gatesprobe"], python=Path({str(PYTHON)!r}), cache=Path({str(tmp_path / "c")!r}),
                           env={env!r}, say=print)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -9
    said: list[str] = []
    python = environments.build(["gatesprobe"], python=PYTHON, cache=tmp_path / "c", env=env, say=said.append)
    assert any("half built" in line for line in said)
    assert version_of(python, "gatesprobe") == "2.0"


def test_settings_that_bind_to_our_interpreter_do_not_reach_the_other(tmp_path: Path, env: dict[str, str]) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "gatesprobe.py").write_text("VERSION = 'ours'\n")
    bad = {
        **env,
        "PYTHONPATH": str(ours),
        "PYTHONHOME": "/nowhere",
        "VIRTUAL_ENV": "/nowhere",
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_USER": "1",
        "PIP_PREFIX": "/nowhere",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "CONDA_PREFIX": "/nowhere",
    }
    python = environments.build(["gatesprobe"], python=PYTHON, cache=tmp_path / "c", env=bad, say=SAID.append)
    ended = process.run(
        [python, "-c", "import gatesprobe; print(gatesprobe.VERSION)"], cwd=tmp_path, env=environments.clean(bad)
    )
    assert ended.tail == ("2.0",)
    assert environments.clean({"PIP_INDEX_URL": "u", "UV_INDEX": "i", "HTTPS_PROXY": "p", "SSL_CERT_FILE": "c"}) == {
        "PIP_INDEX_URL": "u",
        "UV_INDEX": "i",
        "HTTPS_PROXY": "p",
        "SSL_CERT_FILE": "c",
        "OMP_WAIT_POLICY": "passive",
    }


def test_the_users_python_is_the_first_on_path_or_the_one_named(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, name in ((first, "python3"), (second, "python")):
        folder.mkdir()
        (folder / name).symlink_to(PYTHON)
    path = f"{first}:{second}"
    assert environments.find_user_python({"PATH": path}) == second / "python"
    assert environments.find_user_python({"PATH": str(first)}) == first / "python3"
    assert environments.find_user_python({"PATH": str(tmp_path)}) == PYTHON
    assert environments.find_user_python({"PATH": path}, "python3") == first / "python3"
    assert environments.find_user_python({"PATH": ""}, str(second / "python")) == second / "python"
    with pytest.raises(InvalidInput, match="no such Python interpreter: python9"):
        environments.find_user_python({"PATH": path}, "python9")


def test_what_is_no_python_is_said(tmp_path: Path, env: dict[str, str]) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'pyenv: python: command not found' >&2; exit 127\n")
    fake.chmod(0o755)
    with pytest.raises(Unavailable, match=r"does not run as Python 3: pyenv: python: command not found"):
        environments.describe(fake, env)
    fake.write_text('#!/bin/sh\necho \'["3.7.1", "x", "/"]\'\n')
    with pytest.raises(Unavailable, match=r"is Python 3\.7\.1, too old"):
        environments.describe(fake, env)


def test_the_user_site_counts_as_installed(tmp_path: Path, env: dict[str, str]) -> None:
    """`pip install --user` is how some users have their packages."""
    code = "import sys; print(sys._base_executable)"
    base = Path(subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    site = subprocess.run([base, "-m", "site", "--user-site"], capture_output=True, text=True, env=env, check=False)
    info = Path(site.stdout.strip()) / "usersite_probe-3.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Usersite.Probe\nVersion: 3.0\n")
    assert environments.freeze(base, env)["usersite-probe"] == "3.0"


def test_pips_configuration_is_read_as_pip_reads_it(tmp_path: Path) -> None:
    prefix = tmp_path / "venv"
    prefix.mkdir()
    (prefix / "pip.conf").write_text(
        "[global]\nindex-url = https://site/simple\nextra-index-url =\n  https://a\n  https://b\n"
    )
    chosen = tmp_path / "chosen.conf"
    chosen.write_text("[install]\nfind-links = /wheels\n[global]\ntrusted-host = h\n")
    env = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path), "PIP_CONFIG_FILE": str(chosen)}
    found = indexes.read(env, str(prefix))
    assert found.index_url == "https://site/simple"
    assert found.find_links == ("/wheels",)
    assert indexes.uv_arguments(found, env)[-2:] == ["--allow-insecure-host", "h"]
    assert "unsafe-best-match" in indexes.uv_arguments(found, env)
    assert indexes.read({**env, "PIP_INDEX_URL": "https://env"}, str(prefix)).index_url == "https://env"
    assert indexes.uv_arguments(found, {**env, "UV_INDEX_URL": "https://mine"}) == []
    assert indexes.read({**env, "PIP_CONFIG_FILE": "/dev/null"}, str(prefix)) == indexes.IndexSettings()
