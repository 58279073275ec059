"""gatekeeper/cli/log_findings.py."""

from __future__ import annotations

from gatekeeper.cli.log_findings import login_log
from gatekeeper.config.model import Config


def said(folder, **logs):
    config = Config.model_validate({"storage": {"data_dir": str(folder / "data")}, "logs": logs})
    return [f"{finding.level} {finding.text.replace(str(folder), '')}" for finding in login_log(config)]


def test_where_months_go_and_when_is_said(tmp_path):
    archive = str(tmp_path / "archive" / "of" / "logins")
    assert said(tmp_path, archive_to=archive) == ["ok months leave the database after 90 days for /archive/of/logins"]
    assert not (tmp_path / "archive").exists()
    assert said(tmp_path, retain=None) == ["ok attempts stay in the database for good (logs.retain)"]
    assert said(tmp_path, archive_to=None, retain="30d") == [
        "warn months leave the database after 30 days and are dropped: logs.archive_to is null"
    ]


def test_a_folder_that_takes_no_files_is_a_fault(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").touch()
    faults = said(tmp_path, archive_to=str(tmp_path / "file" / "archive"))
    assert [line.split(" cannot")[0] for line in faults] == ["FAULT /data/spool", "FAULT /file/archive"]
