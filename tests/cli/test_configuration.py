import pytest
import typer

from gateway.cli.configuration import load_or_exit, refuse


def test_faults_go_to_standard_error_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        load_or_exit(None, {"server.http_port": -1, "wire.nope": 1})
    assert ended.value.exit_code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: ") for line in lines)


def test_a_good_one_is_returned() -> None:
    assert load_or_exit(None, {"server.http_port": 0}).server.http_port == 0


def test_refusing_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        refuse("one", "two")
    assert capsys.readouterr().err == "error: one\nerror: two\n"
