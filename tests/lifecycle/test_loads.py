"""Loads and unloads over a real folder; the workers that load do as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.control.questions import LoadModel, ModelFile
from gateway.core.errors import InvalidInput
from gateway.lifecycle.following import Following
from gateway.lifecycle.loads import Loads
from gateway.lifecycle.offers import RUNTIMES
from gateway.repository.settings import RepositorySettings
from tests.fakes.ensembles import add_ensemble, config_of
from tests.fakes.waiting import until
from tests.fakes.worlds import FakeWorker, World

PYTHON = {"python": "x:Y", **RUNTIMES}
FILE = ModelFile("7/model.onnx", b"another")


class Repository:
    """One model "m" in a folder, and who loads it."""

    def __init__(self, root: Path) -> None:
        (root / "m" / "1").mkdir(parents=True)
        self.file = root / "m" / "1" / "model.onnx"
        self.file.write_bytes(b"x")
        self.world = World()
        settings = RepositorySettings(paths=(root,), poll_s=0.0)
        self.following = Following(settings, RUNTIMES, self.world.lifecycle)
        self.loads = Loads(self.world.lifecycle, self.following)

    async def load_part(self, name: str) -> None:
        await self.loads.load(LoadModel(name), self.load_part)

    def shown(self) -> list[tuple[int, str]]:
        return self.world.fronts.shown("m")

    async def load(self, *, fails: str = "", **asked: object) -> None:
        """Loads it; every worker that is made does what it must, or `fails`."""
        question = LoadModel(**{"name": "m", **asked})  # type: ignore[arg-type]
        made = len(self.world.workers.made)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.loads.load(question, self.load_part))
            while not task.done():
                self._retire()
                for worker in self.world.workers.made[made:]:
                    made += 1
                    if fails and len(self.world.workers.made) == made:
                        worker.fails(fails)
                        fails = ""
                    else:
                        worker.loads()
                await asyncio.sleep(0.002)
        self.world.lifecycle.check()

    def _retire(self) -> None:
        for worker in self.world.workers.alive:
            if worker.id in self.world.fronts.detaching:
                self.world.fronts.drained(worker.id)
            if worker.orders:
                worker.dies(0)

    def serving(self) -> FakeWorker:
        (worker,) = [one for one in self.world.workers.alive if one.id in self.world.fronts.attached]
        return worker

    def newest(self) -> FakeWorker:
        return self.world.workers.made[-1]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def staged(temporary: Path) -> int:
    return sum(1 for _ in temporary.glob("gateway-loads-*/*"))


def run(tmp_path: Path, scenario: Callable[[Repository], Awaitable[None]]) -> None:
    async def main() -> None:
        made = Repository(tmp_path / "models")
        await made.following.follow()
        await scenario(made)
        made.loads.close()

    asyncio.run(main())


async def refused(made: Repository, **asked: object) -> str:
    with pytest.RaisesGroup(InvalidInput) as caught:
        await made.load(**asked)  # type: ignore[arg-type]
    return str(caught.value.exceptions[0])


def test_load_unload_load(tmp_path: Path) -> None:
    async def scenario(made: Repository) -> None:
        await made.load()
        await made.load()
        assert (made.shown(), len(made.world.workers.made)) == ([(1, "ready")], 1)
        await made.loads.unload("m")
        await made.loads.unload("m")
        assert made.shown() == []
        assert [one.reason for one in made.loads.index()] == ["unloaded"]
        await made.load()
        assert made.shown() == [(1, "ready")]

    run(tmp_path, scenario)


def test_a_load_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lifecycle.loads.PATIENCE_S", 0.01)

    async def scenario(made: Repository) -> None:
        text = await _refusal(made, LoadModel("m"))
        assert text == "load failed for model 'm': it was not ready within 0.01 s"
        assert made.shown() == [(1, "loading")], "it goes on"
        made.newest().loads()
        await made.load()

    run(tmp_path, scenario)


def test_files_that_changed_are_taken_by_a_load_alone(tmp_path: Path) -> None:
    async def scenario(made: Repository) -> None:
        await made.load()
        made.file.write_bytes(b"other content")
        await made.load()
        assert len(made.world.workers.made) == 2
        assert made.shown() == [(1, "ready")]

    run(tmp_path, scenario)


def test_a_configuration_stays_through_plain_loads_until_the_unload(tmp_path: Path) -> None:
    async def scenario(made: Repository) -> None:
        await made.load(config='{"max_batch_size": "16"}')
        assert made.newest().load.spec.max_batch_size == 16
        await made.load()
        assert made.newest().load.spec.max_batch_size == 16
        await made.load(config='{"max_batch_size": "4"}')
        assert made.newest().load.spec.max_batch_size == 4
        await made.loads.unload("m")
        await made.load()
        assert made.newest().load.spec.max_batch_size == 0
        assert made.following.overrides == {}

    run(tmp_path, scenario)


def test_files_stay_until_the_next_load_and_are_then_removed(tmp_path: Path, temporary: Path) -> None:
    async def scenario(made: Repository) -> None:
        await made.load(config="{}", files=(FILE,))
        assert made.shown() == [(7, "ready")]
        path = Path(made.newest().load.path)
        assert (path / "model.onnx").read_bytes() == b"another"
        assert staged(temporary) == 1
        await made.load(config="{}", files=(FILE,))
        assert staged(temporary) == 1
        await made.load()
        assert made.shown() == [(1, "ready")]
        assert staged(temporary) == 0
        await made.load(config="{}", files=(FILE,))
        await made.loads.unload("m")
        assert staged(temporary) == 0
        await made.load()
        assert made.shown() == [(1, "ready")]
        await made.load(config="{}", files=(FILE,))

    run(tmp_path, scenario)
    assert not list(temporary.iterdir()), "also those in use go at the end"


@pytest.mark.parametrize("files", [(), (FILE,)])
def test_a_load_that_fails_leaves_all_as_it_was(
    tmp_path: Path, temporary: Path, files: tuple[ModelFile, ...]
) -> None:
    async def scenario(made: Repository) -> None:
        cold = await refused(made, fails="no good", config='{"max_batch_size": 2}', files=files)
        assert cold == f"load failed for model 'm': version {7 if files else 1}: no good"
        assert made.shown() == [(1, "absent")]
        await made.load(config='{"max_batch_size": 3}')
        await refused(made, fails="no good", config='{"max_batch_size": 2}', files=files)
        while made.shown() != [(1, "ready")]:
            made._retire()
            if made.shown() == [(1, "loading")] and made.newest().is_alive and not made.newest().orders:
                made.newest().loads()
        assert made.serving().load.spec.max_batch_size == 3
        await made.loads.unload("m")
        await refused(made, fails="no good", config='{"max_batch_size": 2}', files=files)
        assert made.shown() == []
        assert [one.reason for one in made.loads.index()] == ["unloaded"]
        assert made.following.overrides == {}
        assert staged(temporary) == 0

    run(tmp_path, scenario)


def test_a_model_of_files_alone_is_gone_when_they_do_not_load(tmp_path: Path, temporary: Path) -> None:
    async def scenario(made: Repository) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_refusal(made, LoadModel("new", "{}", (FILE,))))
            await until(lambda: made.world.workers.made)
            made.newest().fails("no good")
        assert task.result() == "load failed for model 'new': version 7: no good"
        assert "new" not in made.world.fronts.world
        assert staged(temporary) == 0

    run(tmp_path, scenario)


def test_a_model_of_files_alone_is_gone_when_it_is_unloaded(tmp_path: Path, temporary: Path) -> None:
    async def scenario(made: Repository) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(made.loads.load(LoadModel("new", "{}", (FILE,)), made.load_part))
            await until(lambda: made.world.workers.made)
            made.newest().loads()
        assert made.world.fronts.shown("new") == [(7, "ready")]
        await made.loads.unload("new")
        assert sorted(made.world.fronts.world) == ["m"]
        assert "new" not in [one.name for one in made.loads.index() if one.state == "READY"]
        assert staged(temporary) == 0

    run(tmp_path, scenario)


def test_an_unload_holds_while_the_repository_cannot_be_read(tmp_path: Path, temporary: Path) -> None:
    async def scenario(made: Repository) -> None:
        await made.load(config="{}", files=(FILE,))
        (tmp_path / "models").rename(tmp_path / "away")
        await made.loads.unload("m")
        assert made.shown() == []
        (tmp_path / "away").rename(tmp_path / "models")
        for _ in range(2):
            await made.following.follow()
            assert made.shown() == []
        assert [(one.version, one.reason) for one in made.loads.index()] == [(1, "unloaded")]
        await made.load()
        assert made.shown() == [(1, "ready")]

    run(tmp_path, scenario)


CACHE = {"trt_engine_cache_path": "/srv/anywhere"}
CACHED = {
    "optimization": {
        "execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt", "parameters": CACHE}]}
    }
}


async def _refusal(made: Repository, asked: LoadModel) -> str:
    with pytest.raises(InvalidInput) as caught:
        await made.loads.load(asked, made.load_part)
    return caught.value.text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (LoadModel("nobody"), "failed to load 'nobody', failed to poll from model repository"),
        (LoadModel("m", "{"), "failed to load 'm', failed to poll from model repository: config: "),
        (LoadModel("m", None, (FILE,)), "files need a 'config'"),
        (LoadModel("m", "{}", (ModelFile("A" * 256, b""),)), "Invalid file path 'AAA"),
        (LoadModel("m", "{}", (ModelFile("1/model.py", b""),)), "files that can carry code"),
        (LoadModel("m", "{}", (ModelFile("1/other.onnx", b"x"),)), "load failed for model 'm': no version"),
        (
            LoadModel(
                "m",
                json.dumps({"parameters": {"gateway.isolation": {"string_value": "inline"}}}),
                (FILE,),
            ),
            "in a process of its own",
        ),
        (LoadModel("m", json.dumps(CACHED)), "only config.pbtxt may name folders for an engine's caches"),
    ],
)
def test_what_cannot_be_loaded_changes_nothing(
    tmp_path: Path, temporary: Path, asked: LoadModel, words: str
) -> None:
    async def scenario(made: Repository) -> None:
        await made.load()
        assert words in await _refusal(made, asked)
        assert made.shown() == [(1, "ready")]
        assert made.following.overrides == {}
        assert staged(temporary) == 0

    run(tmp_path, scenario)


def test_who_runs_code_is_not_configured_by_a_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lifecycle.loads.DATA_ENGINES", frozenset[str]())

    async def scenario(made: Repository) -> None:
        text = await _refusal(made, LoadModel("m", "{}"))
        assert text.endswith("'config' and files are not taken for a model of the backend 'onnxruntime'")

    run(tmp_path, scenario)


# ---- ensembles ------------------------------------------------------------------------------------

ENDS = (["x TYPE_FP32 [ 2 ]"], ["y TYPE_FP32 [ 2 ]"])


def put_ensemble(made: Repository, *models: str, name: str = "e") -> None:
    rows = [(model, {"x": "x"}, {"y": "y" if index == 0 else model}) for index, model in enumerate(models)]
    add_ensemble(made.file.parents[2], name, config_of(rows, *ENDS))


def states(made: Repository) -> dict[str, tuple[str, str]]:
    return {one.name: (one.state, one.reason) for one in made.loads.index()}


def test_an_ensemble_is_loaded_with_its_models(tmp_path: Path) -> None:
    async def scenario(made: Repository) -> None:
        put_ensemble(made, "m")
        put_ensemble(made, "e", name="outer")
        await made.load(name="e")
        assert states(made) == {"e": ("READY", ""), "m": ("READY", "")}
        await made.following._look()
        await made.load(name="outer")
        assert states(made)["outer"] == ("READY", "")
        assert made.loads.parts_of("outer") == ("e", "m")
        assert made.loads.parts_of("m") == ()
        await made.loads.unload("m")
        assert states(made) == {
            "m": ("UNAVAILABLE", "unloaded"),
            "e": ("UNAVAILABLE", "step 0 (model 'm'): unloaded"),
            "outer": ("UNAVAILABLE", "step 0 (model 'e'): step 0 (model 'm'): unloaded"),
        }
        await made.load(name="outer")
        assert states(made)["m"] == states(made)["outer"] == ("READY", "")
        await made.loads.unload("e")
        assert states(made)["e"] == ("UNAVAILABLE", "unloaded")
        assert states(made)["m"] == ("READY", "")

    run(tmp_path, scenario)


def test_an_ensemble_whose_model_does_not_load_is_not_loaded(tmp_path: Path) -> None:
    async def scenario(made: Repository) -> None:
        put_ensemble(made, "m")
        text = await refused(made, name="e", fails="no good")
        assert text == "load failed for model 'e': load failed for model 'm': version 1: no good"
        put_ensemble(made, "m", "none", name="f")
        text = await refused(made, name="f")
        assert text == "load failed for model 'f': step 1 (model 'none'): there is no such model"

    run(tmp_path, scenario)


def test_a_caller_may_write_an_ensemble_of_models_that_are_there(tmp_path: Path) -> None:
    async def scenario(made: Repository) -> None:
        put_ensemble(made, "m", name="e")
        tensor = {"data_type": "TYPE_FP32", "dims": [2]}
        config = {
            "platform": "ensemble",
            "input": [{"name": "a", **tensor}],
            "output": [{"name": "b", **tensor}],
            "ensemble_scheduling": {
                "step": [
                    {
                        "model_name": "m",
                        "model_version": -1,
                        "input_map": {"x": "a"},
                        "output_map": {"y": "b"},
                    }
                ]
            },
        }
        await made.load(name="e", config=json.dumps(config))
        (view,) = made.world.fronts.world["e"].versions
        assert view.spec is not None
        assert [one.name for one in view.spec.inputs] == ["a"]
        config["ensemble_scheduling"]["step"][0]["model_name"] = "e"  # type: ignore[index]
        assert "'e' is the ensemble itself" in await refused(made, name="e", config=json.dumps(config))

    run(tmp_path, scenario)


def test_models_that_wait_for_each_other_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.lifecycle.loads.PATIENCE_S", 0.01)

    async def scenario(made: Repository) -> None:
        put_ensemble(made, "m")

        async def never(name: str) -> None:
            await asyncio.Event().wait()

        with pytest.raises(InvalidInput, match="its models were not ready within"):
            await made.loads.load(LoadModel("e"), never)

    run(tmp_path, scenario)
