"""Where packages come from: pip's settings, read so that uv, which does not read them, asks the same indexes.

Files are read as pip reads them (later ones win): global, user, site, PIP_CONFIG_FILE, then PIP_… variables. Nothing
is passed to a uv that has index settings of its own, by environment or uv.toml.
"""

from __future__ import annotations

import configparser
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_UV_OWN = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")


@dataclass(frozen=True)
class IndexSettings:
    """Package sources. Lists keep pip's order."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False
    cert: str = ""


def read(env: Mapping[str, str], prefix: str) -> IndexSettings:
    """pip's settings for the interpreter at `prefix`. Files that are missing or not readable do not count."""
    found: dict[str, str] = {}
    for path in config_files(env, prefix):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip itself will complain about it, with the reason, when it is used
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update(parser.items(section))
    for name, value in env.items():
        if name.startswith("PIP_") and value:
            found[name[4:].lower().replace("_", "-")] = value
    return IndexSettings(
        index_url=found.get("index-url", ""),
        extra_index_urls=tuple(found.get("extra-index-url", "").split()),
        find_links=tuple(found.get("find-links", "").split()),
        trusted_hosts=tuple(found.get("trusted-host", "").split()),
        no_index=found.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        cert=found.get("cert", ""),
    )


def config_files(env: Mapping[str, str], prefix: str) -> tuple[Path, ...]:
    """Every file that pip would read, least to most important."""
    chosen = env.get("PIP_CONFIG_FILE", "")
    if chosen in ("/dev/null", "nul"):
        return ()
    home = Path(env.get("HOME", "/nonexistent"))
    user = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    shared = [Path(folder) / "pip/pip.conf" for folder in env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if folder]
    files = [*shared, Path("/etc/pip.conf"), home / ".pip/pip.conf", user, Path(prefix) / "pip.conf"]
    if sys.platform == "darwin":
        files[0:0] = [Path("/Library/Application Support/pip/pip.conf")]
        files[-1:-1] = [home / "Library/Application Support/pip/pip.conf"]
    return (*files, Path(chosen)) if chosen else tuple(files)


def uv_has_its_own(env: Mapping[str, str]) -> bool:
    config = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "/nonexistent")) / ".config") / "uv/uv.toml"
    return any(env.get(name) for name in _UV_OWN) or config.is_file() or Path("/etc/uv/uv.toml").is_file()


def uv_arguments(settings: IndexSettings, env: Mapping[str, str]) -> list[str]:
    """`uv pip install` arguments that say what pip's settings say."""
    if uv_has_its_own(env):
        return []
    arguments = ["--no-index"] if settings.no_index else []
    if settings.index_url:
        arguments += ["--index-url", settings.index_url]
    for url in settings.extra_index_urls:
        arguments += ["--extra-index-url", url]
    if settings.extra_index_urls:
        arguments += ["--index-strategy", "unsafe-best-match"]  # what pip does: every index counts alike
    for place in settings.find_links:
        arguments += ["--find-links", place]
    for host in settings.trusted_hosts:
        arguments += ["--allow-insecure-host", host]
    return arguments


def uv_environment(settings: IndexSettings, env: Mapping[str, str]) -> dict[str, str]:
    """pip's certificate, where uv has not been given one."""
    return {"SSL_CERT_FILE": settings.cert} if settings.cert and not env.get("SSL_CERT_FILE") else {}
