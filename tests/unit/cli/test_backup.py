# SPDX-License-Identifier: Apache-2.0
import fcntl
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kit.cli import Cli
from ringfence.cli.archive import CHECKSUMS, Checksums, write_backup
from ringfence.cli.locks import running
from ringfence.settings.calls_model import Registration, RoutingGatewayDraft
from ringfence.settings.store import SettingsStore

SEGMENT = "journal/edge/00000000000000000001.rfj"


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """A data directory with settings, two journal segments and call records."""
    cli.ok("gateway", "add", "carrier", "192.0.2.1")
    for name, content in {
        SEGMENT: b"segment" * 1000,
        "journal/calls/00000000000000000001.rfj.zst": b"archive",
        "cdr/manifest.json": b"{}",
        "cdr/dt=2026-11-22/illegal-00000000000000000001.parquet": b"PAR1",
    }.items():
        path = cli.data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return cli


def tree(root: Path) -> dict[str, bytes]:
    """What the files below a directory hold; the settings left out, which are compared by what they say."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("settings.db")
    }


@pytest.mark.parametrize("suffix", [".tar.zst", ".tar.gz", ".tgz", ".tar"])
def test_what_was_saved_comes_back(filled: Cli, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"backup{suffix}"
    saved = filled.json("backup", str(file))
    assert saved["files"] == 5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = Cli(tmp_path / "second")
    second.ok("restore", str(file))
    assert tree(second.data_dir) == tree(filled.data_dir)
    assert second.json("gateway", "list") == filled.json("gateway", "list")
    assert stat.S_IMODE((second.data_dir / "settings.db").stat().st_mode) == 0o600
    assert stat.S_IMODE(second.data_dir.stat().st_mode) == 0o700


def test_secrets_of_registrations_come_back_with_their_key(filled: Cli, tmp_path: Path) -> None:
    with SettingsStore.open_or_create(filled.data_dir) as store:
        registration = Registration(user="us")
        draft = RoutingGatewayDraft(
            name="vendor", address="192.0.2.9", registration=registration, secret="ours"
        )
        made = store.routing_gateways.add(draft, actor="t").after
    filled.ok("backup", str(tmp_path / "b.tar"))
    second = Cli(tmp_path / "second")
    second.ok("restore", str(tmp_path / "b.tar"))
    assert stat.S_IMODE((second.data_dir / "settings.key").stat().st_mode) == 0o600
    with SettingsStore.open_read_only(second.data_dir) as store:
        assert made is not None
        assert store.routing_gateways.secret(made.id) == "ours"


def test_call_records_can_be_left_out(filled: Cli, tmp_path: Path) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"), "--no-cdr")
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert [name for name in tar.getnames() if name.startswith("cdr")] == []


def test_settings_are_saved_after_journal_and_journal_after_records(filled: Cli, tmp_path: Path) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"))
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert [name.partition("/")[0] for name in tar.getnames()] == [
            "cdr",
            "cdr",
            "journal",
            "journal",
            "settings.db",
            CHECKSUMS,
        ]


def test_settings_on_a_server_are_not_in_a_backup_and_that_is_said(filled: Cli, tmp_path: Path) -> None:
    config = tmp_path / "ringfence.toml"
    config.write_text('settings_url = "postgresql+psycopg://rf@db/rf"\n')
    result = filled.ok("backup", str(tmp_path / "b.tar"), "--config", str(config))
    assert "the settings are on a database server" in result.stderr
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert "settings.db" not in tar.getnames()


def test_backup_is_not_overwritten_unless_told(filled: Cli, tmp_path: Path) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"))
    assert filled("backup", str(tmp_path / "b.tar")).exit_code == 1
    filled.ok("backup", str(tmp_path / "b.tar"), "--force")


@pytest.mark.parametrize(
    ("name", "code"),
    [("backup.zip", 2), ("backup", 2), ("absent/b.tar", 1)],
    ids=["zip", "bare", "no directory"],
)
def test_backup_that_cannot_be_written_leaves_nothing(
    filled: Cli, tmp_path: Path, name: str, code: int
) -> None:
    result = filled("backup", str(tmp_path / name))
    assert result.exit_code == code
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_backup_of_nothing_fails(cli: Cli, tmp_path: Path) -> None:
    assert "no data directory" in cli("backup", str(tmp_path / "b.tar")).stderr


def test_directory_with_something_in_it_is_put_aside_only_when_told(filled: Cli, tmp_path: Path) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"))
    (filled.data_dir / SEGMENT).write_bytes(b"later")
    refused = filled("restore", str(tmp_path / "b.tar"))
    assert refused.exit_code == 1
    assert "is not empty" in refused.stderr
    assert (filled.data_dir / SEGMENT).read_bytes() == b"later"
    result = filled.ok("restore", str(tmp_path / "b.tar"), "--force")
    assert (filled.data_dir / SEGMENT).read_bytes() == b"segment" * 1000
    aside = next(path for path in tmp_path.iterdir() if "before-restore" in path.name)
    assert (aside / SEGMENT).read_bytes() == b"later"
    assert str(aside) in result.stderr


@pytest.mark.parametrize("half", ["switch", "office"])
def test_nothing_is_restored_under_a_running_half(filled: Cli, tmp_path: Path, half: str) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"))
    descriptor = os.open(filled.data_dir / f"{half}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    result = filled("restore", str(tmp_path / "b.tar"), "--force")
    os.close(descriptor)
    assert result.exit_code == 1
    assert f"is in use by {half}" in result.stderr


def test_lock_file_of_a_half_that_ended_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "switch.lock").touch()
    assert running(tmp_path) == ()


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Copy a plain tar with its members changed."""
    with tarfile.open(source) as tar:
        members = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            members[member.name] = file.read()
    change(members)
    with tarfile.open(target, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def other_format(members: dict[str, bytes]) -> None:
    listed = msgspec.json.decode(members[CHECKSUMS], type=Checksums)
    members[CHECKSUMS] = msgspec.json.encode(msgspec.structs.replace(listed, format=2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda members: members.update({SEGMENT: b"x" * 7000}), "is not what was saved"),
        (lambda members: members.pop(SEGMENT), "is not what was saved"),
        (lambda members: members.pop(CHECKSUMS), "ends before its list of checksums"),
        (lambda members: members.update({CHECKSUMS: b"{"}), "is no whole backup"),
        (
            lambda members: members.update({"journal/late": b""}),
            "'journal/late' does not belong into a backup",
        ),
        (other_format, "made by a newer Ringfence"),
    ],
    ids=["changed", "missing", "no list", "bad list", "after the list", "format"],
)
def test_damaged_backup_changes_nothing(
    filled: Cli, tmp_path: Path, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"))
    rewritten(tmp_path / "b.tar", tmp_path / "bad.tar", change)
    before = tree(filled.data_dir)
    result = filled("restore", str(tmp_path / "bad.tar"), "--force")
    assert result.exit_code == 1
    assert said in result.stderr
    assert tree(filled.data_dir) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "bad.tar", "data"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "journal/../../evil", "cron.d/evil", "journal//x"])
def test_backup_cannot_write_beside_the_data_directory(filled: Cli, tmp_path: Path, name: str) -> None:
    filled.ok("backup", str(tmp_path / "b.tar"))

    def smuggle(members: dict[str, bytes]) -> None:
        listed = members.pop(CHECKSUMS)
        members.update({name: b"x", CHECKSUMS: listed})

    rewritten(tmp_path / "b.tar", tmp_path / "bad.tar", smuggle)
    assert "does not belong into a backup" in filled("restore", str(tmp_path / "bad.tar"), "--force").stderr


def test_link_in_a_backup_is_refused(cli: Cli, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        entry = tarfile.TarInfo("journal/edge")
        entry.type = tarfile.SYMTYPE
        entry.linkname = "/etc"
        tar.addfile(entry)
    assert "does not belong into a backup" in cli("restore", str(tmp_path / "bad.tar")).stderr


@pytest.mark.parametrize("suffix", [".tar.zst", ".tar.gz", ".tar"])
def test_backup_that_was_cut_off_is_refused(filled: Cli, tmp_path: Path, suffix: str) -> None:
    (filled.data_dir / SEGMENT).write_bytes(os.urandom(100_000))
    whole = tmp_path / f"b{suffix}"
    filled.ok("backup", str(whole))
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[:50_000])
    result = Cli(tmp_path / "second")("restore", str(cut))
    assert result.exit_code == 1
    assert "is no whole backup" in result.stderr


def test_backup_that_is_not_there_fails(cli: Cli, tmp_path: Path) -> None:
    assert "there is no file" in cli("restore", str(tmp_path / "absent.tar")).stderr


def test_segment_that_is_compressed_meanwhile_is_saved_in_its_new_form(filled: Cli, tmp_path: Path) -> None:
    live, sealed = filled.data_dir / SEGMENT, filled.data_dir / f"{SEGMENT}.zst"

    def seal(_: int) -> None:
        if live.exists():
            sealed.write_bytes(b"sealed")
            live.unlink()

    saved = write_backup(
        filled.data_dir, tmp_path / "b.tar", now_us=1, with_records=True, with_settings=True, progress=seal
    )
    assert f"{SEGMENT}.zst" in {member.path for member in saved.files}


def test_records_that_are_compacted_meanwhile_are_saved_with_the_manifest_that_names_them(
    filled: Cli, tmp_path: Path
) -> None:
    manifest = filled.data_dir / "cdr/manifest.json"
    new = filled.data_dir / "cdr/dt=2026-11-22/illegal-00000000000000000002.parquet"

    def compact(_: int) -> None:
        if not new.exists():
            new.write_bytes(b"PAR1 new")
            manifest.write_bytes(b'{"new": true}')

    write_backup(
        filled.data_dir,
        tmp_path / "b.tar",
        now_us=1,
        with_records=True,
        with_settings=False,
        progress=compact,
    )
    second = Cli(tmp_path / "second")
    second.ok("restore", str(tmp_path / "b.tar"))
    assert (second.data_dir / "cdr/manifest.json").read_bytes() == b'{"new": true}'
    assert (second.data_dir / new.relative_to(filled.data_dir)).read_bytes() == b"PAR1 new"
