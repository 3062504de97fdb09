"""What an ensemble of three small models costs over its parts, one connection: ours alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tests.bench import calls, models, servers
from tests.bench.bodies import fraud_rows
from tests.bench.figures import Measure, Target, ratio
from tests.bench.load import Shape, grpc, rest
from tests.bench.outputs import Load
from tests.bench.report import Row
from tests.bench.servers import Server

if TYPE_CHECKING:
    from tests.bench.suite import Setting

ENSEMBLE = "chain"
ROUNDS = 3
SECONDS = 5.0  # of each of the 4 x ROUNDS measurements, at most

# One connection's load on a model whose answer begins with that number.
Ask = Callable[[Server, str, float, Shape], Load]


def ask_rest(server: Server, model: str, expected: float, shape: Shape) -> Load:
    return rest(server.http_port, calls.row_json(server, model, expected), shape)


def ask_grpc(server: Server, model: str, expected: float, shape: Shape) -> Load:
    return grpc(server.grpc_port, calls.row_grpc(server, model, expected), shape)


def measure(setting: Setting, name: str, title: str, target: Target, ask: Ask) -> Sequence[Row]:
    """p50 of the ensemble over the sum of its parts' p50, all on one server, by turns."""
    folder = setting.folder / "ensemble"
    if not folder.exists():
        models.write_ensemble_repository(folder)
    first, score = float(fraud_rows()[0, 0]), calls.fraud_score()
    answers = {ENSEMBLE: score, "first": first, "second": first, "fraud": score}
    shape = setting._replace(seconds=min(setting.seconds, SECONDS)).shape(1)
    with servers.gateway(folder, cpus=setting.server_cpus) as server:
        rounds = [
            {model: ask(server, model, expected, shape) for model, expected in answers.items()}
            for _ in range(ROUNDS)
        ]
    return [row_of(name, title, target, rounds)]


def row_of(name: str, title: str, target: Target, rounds: Sequence[Mapping[str, Load]]) -> Row:
    """The row of these rounds, each a load by model."""
    ours = Measure(tuple(loads[ENSEMBLE].p50_us for loads in rounds))
    parts = Measure(
        tuple(sum(load.p50_us for model, load in loads.items() if model != ENSEMBLE) for loads in rounds)
    )
    loads = [load for of_round in rounds for load in of_round.values()]
    return Row(
        name=name,
        title=title,
        target=target,
        figure=ratio(ours, parts),
        ours=ours,
        unit="us",
        peer="its parts",
        theirs=parts,
        failures=sum(load.failures for load in loads),
        requests=sum(load.requests for load in loads),
        busy=max(load.busy for load in loads),
    )
