"""Makes gateway/generated/*_pb2.py and .pyi from the .proto files beside this script.

    .venv/bin/python protos/generate.py [FOLDER]

protoc (from grpcio-tools) compiles the descriptors and mypy-protobuf writes the stubs; the modules
themselves are written here instead of by protoc's Python plug-in, for two reasons. They live in a
descriptor pool of their own, so that tritonclient, grpcio-health-checking or grpcio-reflection, which
declare the same full names, can be imported in the same process. And they hold no version check
against the compiler, so that one set works with every protobuf runtime from 6.33 on.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

HERE = Path(__file__).resolve().parent
PACKAGE = "gateway.generated"
TARGET = HERE.parent.joinpath(*PACKAGE.split("."))
# What mypy-protobuf writes for an import of another of our files.
STUB_IMPORT = re.compile(r"^import (\w+_pb2) as (\w+)$", re.MULTILINE)
BYTES_PER_LINE = 72


def main(target: Path) -> None:
    """Writes a module and a stub for every .proto file into `target`."""
    with tempfile.TemporaryDirectory() as scratch:
        for file in compile_protos(Path(scratch)):
            module = f"{Path(file.name).stem}_pb2"
            stub = Path(scratch, f"{module}.pyi").read_text(encoding="utf-8")
            target.joinpath(f"{module}.pyi").write_text(place_stub(stub), encoding="utf-8")
            target.joinpath(f"{module}.py").write_text(write_module(file), encoding="utf-8")


def compile_protos(scratch: Path) -> list[FileDescriptorProto]:
    """The compiled files in order of name; leaves mypy-protobuf's stubs in `scratch`."""
    descriptors = scratch / "all.binpb"
    plugin = Path(sysconfig.get_path("scripts"), "protoc-gen-mypy")
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}"),
        f"--plugin=protoc-gen-mypy={plugin}",
        f"--mypy_out=quiet:{scratch}",
        f"--descriptor_set_out={descriptors}",
        *sorted(path.name for path in HERE.glob("*.proto")),
    ]
    subprocess.run(command, check=True, cwd=HERE)
    files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    return sorted(files, key=lambda file: file.name)


def place_stub(text: str) -> str:
    """The stub with its imports of our other files made absolute."""
    return STUB_IMPORT.sub(rf"from {PACKAGE} import \1 as \2", text)


def write_module(file: FileDescriptorProto) -> str:
    """The module's source: the serialised descriptor, then one line for each top-level name."""
    for message in file.message_type:
        drop_json_names(message)
    stems = [f"{Path(dependency).stem}_pb2" for dependency in file.dependency]
    first = "from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper\n\n"
    return "".join([
        f'"""Made from protos/{file.name} by protos/generate.py; never edited."""\n\n',
        first if file.enum_type else "",
        # Imported for its effect: the pool must know a file before those that import it.
        *(f"from {PACKAGE} import {stem}  # noqa: F401\n" for stem in stems),
        f"from {PACKAGE}.pool import POOL, message_class\n\n",
        f"DESCRIPTOR = POOL.AddSerializedFile(\n{literal(file.SerializeToString(deterministic=True))})\n\n",
        *(f'{m.name} = message_class(DESCRIPTOR, "{m.name}")\n' for m in file.message_type),
        *(write_enum(enum.name, [(v.name, v.number) for v in enum.value]) for enum in file.enum_type),
    ])


def drop_json_names(message: DescriptorProto) -> None:
    """Removes what the runtime derives by itself: a quarter of the bytes."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        drop_json_names(nested)


def literal(data: bytes) -> str:
    """`data` as indented adjacent bytes literals."""
    parts = (data[at : at + BYTES_PER_LINE] for at in range(0, len(data), BYTES_PER_LINE))
    return "".join(f"    {part!r}\n" for part in parts)


def write_enum(name: str, values: list[tuple[str, int]]) -> str:
    """The enum's wrapper and its values, which protobuf puts beside it."""
    wrapper = f'{name} = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["{name}"])\n'
    return wrapper + "".join(f"{value} = {number}\n" for value, number in values)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
