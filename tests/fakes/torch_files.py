"""Small PyTorch models as files; import only where PyTorch is installed."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch


class AddSub(torch.nn.Module):
    """Sum and difference."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + b, a - b


class Named(torch.nn.Module):
    """A dict of what it gets and its double; writes into its argument."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x += 0
        return {"same": x, "double": x * 2}


class Picks(torch.nn.Module):
    """Raises for an index out of range."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.arange(10, dtype=torch.float32)[x]


def script(folder: Path, module: torch.nn.Module) -> Path:
    """`module` as TorchScript, model.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(folder / "model.pt"))
    return folder


def exported(folder: Path, module: torch.nn.Module, *arguments: torch.Tensor) -> Path:
    """`module` as an exported program, model.pt2, its first axis free."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = torch.export.Dim("rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, arguments, dynamic_shapes=tuple({0: rows} for _ in arguments))
        torch.export.save(program, folder / "model.pt2")
    return folder
