"""Made from protos/reflection.proto by protos/generate.py; never edited."""

from gateway.generated.pool import POOL, message_class

DESCRIPTOR = POOL.AddSerializedFile(
    b'\n\x10reflection.proto\x12\x12grpc.reflection.v1"\x85\x02\n\x17ServerReflectionRequest\x12\x0c\n\x04ho'
    b'st\x18\x01 \x01(\t\x12\x1a\n\x10file_by_filename\x18\x03 \x01(\tH\x00\x12 \n\x16file_containing_symbol\x18\x04 \x01(\tH\x00\x12I'
    b'\n\x19file_containing_extension\x18\x05 \x01(\x0b2$.grpc.reflection.v1.ExtensionRequestH'
    b"\x00\x12'\n\x1dall_extension_numbers_of_type\x18\x06 \x01(\tH\x00\x12\x17\n\rlist_services\x18\x07 \x01(\tH\x00B\x11\n\x0fm"
    b'essage_request"E\n\x10ExtensionRequest\x12\x17\n\x0fcontaining_type\x18\x01 \x01(\t\x12\x18\n\x10extension'
    b'_number\x18\x02 \x01(\x05"\xb8\x03\n\x18ServerReflectionResponse\x12\x12\n\nvalid_host\x18\x01 \x01(\t\x12E\n\x10origin'
    b'al_request\x18\x02 \x01(\x0b2+.grpc.reflection.v1.ServerReflectionRequest\x12N\n\x18file_de'
    b'scriptor_response\x18\x04 \x01(\x0b2*.grpc.reflection.v1.FileDescriptorResponseH\x00\x12U\n'
    b'\x1eall_extension_numbers_response\x18\x05 \x01(\x0b2+.grpc.reflection.v1.ExtensionNumb'
    b"erResponseH\x00\x12I\n\x16list_services_response\x18\x06 \x01(\x0b2'.grpc.reflection.v1.ListSe"
    b'rviceResponseH\x00\x12;\n\x0eerror_response\x18\x07 \x01(\x0b2!.grpc.reflection.v1.ErrorRespon'
    b'seH\x00B\x12\n\x10message_response"7\n\x16FileDescriptorResponse\x12\x1d\n\x15file_descriptor_pr'
    b'oto\x18\x01 \x03(\x0c"K\n\x17ExtensionNumberResponse\x12\x16\n\x0ebase_type_name\x18\x01 \x01(\t\x12\x18\n\x10extensio'
    b'n_number\x18\x02 \x03(\x05"K\n\x13ListServiceResponse\x124\n\x07service\x18\x01 \x03(\x0b2#.grpc.reflection'
    b'.v1.ServiceResponse"\x1f\n\x0fServiceResponse\x12\x0c\n\x04name\x18\x01 \x01(\t":\n\rErrorResponse\x12\x12\n'
    b'\nerror_code\x18\x01 \x01(\x05\x12\x15\n\rerror_message\x18\x02 \x01(\t2\x8b\x01\n\x10ServerReflection\x12w\n\x14ServerR'
    b'eflectionInfo\x12+.grpc.reflection.v1.ServerReflectionRequest\x1a,.grpc.reflec'
    b'tion.v1.ServerReflectionResponse"\x00(\x010\x01b\x06proto3'
)

ServerReflectionRequest = message_class(DESCRIPTOR, "ServerReflectionRequest")
ExtensionRequest = message_class(DESCRIPTOR, "ExtensionRequest")
ServerReflectionResponse = message_class(DESCRIPTOR, "ServerReflectionResponse")
FileDescriptorResponse = message_class(DESCRIPTOR, "FileDescriptorResponse")
ExtensionNumberResponse = message_class(DESCRIPTOR, "ExtensionNumberResponse")
ListServiceResponse = message_class(DESCRIPTOR, "ListServiceResponse")
ServiceResponse = message_class(DESCRIPTOR, "ServiceResponse")
ErrorResponse = message_class(DESCRIPTOR, "ErrorResponse")
