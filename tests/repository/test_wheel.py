"""The pure-Python wheel holds every package, the generated contracts and the command."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.repository.source_files import ROOT, repository_files

PACKAGE_FOLDERS = ("proto", "kvstore", "datanode", "metanode", "client")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder: Path = tmp_path_factory.mktemp("wheel")
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (wheel,) = folder.glob("holdfast-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module(wheel_names: set[str]) -> None:
    modules = {
        str(Path(*path.parts[1:]))
        for path in repository_files()
        if path.parts[0] in PACKAGE_FOLDERS
        and len(path.parts) > 2
        and path.suffix in (".py", ".pyi", ".typed", ".proto")
    }
    assert sorted(modules - wheel_names) == []


def test_the_wheel_holds_the_generated_contracts_and_the_command(wheel_names: set[str]) -> None:
    assert wheel_names >= {
        "holdfast_proto/meta_pb2.py",
        "holdfast_proto/meta_pb2.pyi",
        "holdfast_proto/meta_pb2_grpc.py",
        "holdfast_proto/meta_pb2_grpc.pyi",
        "holdfast-0.1.0.dist-info/entry_points.txt",
    }


def test_the_wheel_holds_no_test_and_no_build_file(wheel_names: set[str]) -> None:
    tops = {name.split("/", 1)[0] for name in wheel_names}
    assert {top for top in tops if not top.startswith("holdfast")} == set()
