# SPDX-License-Identifier: Apache-2.0
"""Certificates that are renewed while the switch runs."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ringfence.errors import CoreError
from ringfence.settings.node_file import TlsSettings
from ringfence.switch.certificate import CertificateFiles


class FakeEdge:
    """Counts how often it reads the files, and refuses them while it is told to."""

    def __init__(self) -> None:
        self.read = 0
        self.refuses = False

    def reload_tls(self) -> None:
        self.read += 1
        if self.refuses:
            raise CoreError("keys may not be consistent", hint="look")


@pytest.fixture
def files(tmp_path: Path) -> TlsSettings:
    for name in ("c", "k"):
        (tmp_path / name).write_text("1")
    return TlsSettings(certificate=str(tmp_path / "c"), key=str(tmp_path / "k"))


def test_files_are_read_again_once_after_each_change(files: TlsSettings, tmp_path: Path) -> None:
    edge, watched = FakeEdge(), CertificateFiles(files)
    watched.look(edge)
    assert edge.read == 0
    (tmp_path / "c").write_text("renewed")
    watched.look(edge)
    watched.look(edge)
    assert edge.read == 1
    (tmp_path / "k").unlink()
    watched.look(edge)
    assert edge.read == 2


def test_a_change_that_cannot_be_used_is_told_once_and_tried_again(
    files: TlsSettings, tmp_path: Path
) -> None:
    edge, watched = FakeEdge(), CertificateFiles(files)
    edge.refuses = True
    (tmp_path / "c").write_text("renewed")
    with capture_logs() as logs:
        watched.look(edge)
        watched.look(edge)
    assert edge.read == 2
    assert [log["event"] for log in logs] == ["certificate.unusable"]
    edge.refuses = False
    (tmp_path / "k").write_text("renewed")
    watched.look(edge)
    watched.look(edge)
    assert edge.read == 3


def test_without_certificates_there_is_nothing_to_read() -> None:
    edge = FakeEdge()
    CertificateFiles(TlsSettings()).look(edge)
    assert edge.read == 0
