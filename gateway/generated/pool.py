"""The descriptor pool of this gateway's own protocols; written by hand, unlike its neighbours.

Not protobuf's default pool: that one is shared by everything in the process, and another package that
declares `inference.ModelInferRequest` or `grpc.health.v1.HealthCheckRequest` under another file name
would make whichever comes second fail to import.
"""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()


def message_class(file: FileDescriptor, name: str) -> type[Message]:
    """The class of the top-level message `name` of `file`; KeyError where there is none."""
    return GetMessageClass(file.message_types_by_name[name])
