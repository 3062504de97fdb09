"""Made from protos/health.proto by protos/generate.py; never edited."""

from gateway.generated.pool import POOL, message_class

DESCRIPTOR = POOL.AddSerializedFile(
    b'\n\x0chealth.proto\x12\x0egrpc.health.v1"%\n\x12HealthCheckRequest\x12\x0f\n\x07service\x18\x01 \x01(\t"\xa9\x01'
    b'\n\x13HealthCheckResponse\x12A\n\x06status\x18\x01 \x01(\x0e21.grpc.health.v1.HealthCheckRespon'
    b'se.ServingStatus"O\n\rServingStatus\x12\x0b\n\x07UNKNOWN\x10\x00\x12\x0b\n\x07SERVING\x10\x01\x12\x0f\n\x0bNOT_SERVI'
    b'NG\x10\x02\x12\x13\n\x0fSERVICE_UNKNOWN\x10\x03"\x13\n\x11HealthListRequest"\xae\x01\n\x12HealthListResponse\x12B\n'
    b'\x08statuses\x18\x01 \x03(\x0b20.grpc.health.v1.HealthListResponse.StatusesEntry\x1aT\n\rSta'
    b'tusesEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x122\n\x05value\x18\x02 \x01(\x0b2#.grpc.health.v1.HealthCheckRespo'
    b'nse:\x028\x012\x83\x02\n\x06Health\x12R\n\x05Check\x12".grpc.health.v1.HealthCheckRequest\x1a#.grpc.h'
    b'ealth.v1.HealthCheckResponse"\x00\x12O\n\x04List\x12!.grpc.health.v1.HealthListReques'
    b't\x1a".grpc.health.v1.HealthListResponse"\x00\x12T\n\x05Watch\x12".grpc.health.v1.Health'
    b'CheckRequest\x1a#.grpc.health.v1.HealthCheckResponse"\x000\x01b\x06proto3'
)

HealthCheckRequest = message_class(DESCRIPTOR, "HealthCheckRequest")
HealthCheckResponse = message_class(DESCRIPTOR, "HealthCheckResponse")
HealthListRequest = message_class(DESCRIPTOR, "HealthListRequest")
HealthListResponse = message_class(DESCRIPTOR, "HealthListResponse")
