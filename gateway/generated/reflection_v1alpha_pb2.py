"""Made from protos/reflection_v1alpha.proto by protos/generate.py; never edited."""

from gateway.generated.pool import POOL, message_class

DESCRIPTOR = POOL.AddSerializedFile(
    b'\n\x18reflection_v1alpha.proto\x12\x17grpc.reflection.v1alpha"\x8a\x02\n\x17ServerReflection'
    b'Request\x12\x0c\n\x04host\x18\x01 \x01(\t\x12\x1a\n\x10file_by_filename\x18\x03 \x01(\tH\x00\x12 \n\x16file_containing_sym'
    b'bol\x18\x04 \x01(\tH\x00\x12N\n\x19file_containing_extension\x18\x05 \x01(\x0b2).grpc.reflection.v1alpha'
    b".ExtensionRequestH\x00\x12'\n\x1dall_extension_numbers_of_type\x18\x06 \x01(\tH\x00\x12\x17\n\rlist_ser"
    b'vices\x18\x07 \x01(\tH\x00B\x11\n\x0fmessage_request"E\n\x10ExtensionRequest\x12\x17\n\x0fcontaining_type\x18'
    b'\x01 \x01(\t\x12\x18\n\x10extension_number\x18\x02 \x01(\x05"\xd1\x03\n\x18ServerReflectionResponse\x12\x12\n\nvalid_ho'
    b'st\x18\x01 \x01(\t\x12J\n\x10original_request\x18\x02 \x01(\x0b20.grpc.reflection.v1alpha.ServerRefle'
    b'ctionRequest\x12S\n\x18file_descriptor_response\x18\x04 \x01(\x0b2/.grpc.reflection.v1alpha'
    b'.FileDescriptorResponseH\x00\x12Z\n\x1eall_extension_numbers_response\x18\x05 \x01(\x0b20.grpc'
    b'.reflection.v1alpha.ExtensionNumberResponseH\x00\x12N\n\x16list_services_response\x18'
    b'\x06 \x01(\x0b2,.grpc.reflection.v1alpha.ListServiceResponseH\x00\x12@\n\x0eerror_response\x18'
    b'\x07 \x01(\x0b2&.grpc.reflection.v1alpha.ErrorResponseH\x00B\x12\n\x10message_response"7\n\x16F'
    b'ileDescriptorResponse\x12\x1d\n\x15file_descriptor_proto\x18\x01 \x03(\x0c"K\n\x17ExtensionNumberR'
    b'esponse\x12\x16\n\x0ebase_type_name\x18\x01 \x01(\t\x12\x18\n\x10extension_number\x18\x02 \x03(\x05"P\n\x13ListService'
    b'Response\x129\n\x07service\x18\x01 \x03(\x0b2(.grpc.reflection.v1alpha.ServiceResponse"\x1f\n\x0fS'
    b'erviceResponse\x12\x0c\n\x04name\x18\x01 \x01(\t":\n\rErrorResponse\x12\x12\n\nerror_code\x18\x01 \x01(\x05\x12\x15\n\rerr'
    b'or_message\x18\x02 \x01(\t2\x96\x01\n\x10ServerReflection\x12\x81\x01\n\x14ServerReflectionInfo\x120.grpc.re'
    b'flection.v1alpha.ServerReflectionRequest\x1a1.grpc.reflection.v1alpha.Serve'
    b'rReflectionResponse"\x00(\x010\x01b\x06proto3'
)

ServerReflectionRequest = message_class(DESCRIPTOR, "ServerReflectionRequest")
ExtensionRequest = message_class(DESCRIPTOR, "ExtensionRequest")
ServerReflectionResponse = message_class(DESCRIPTOR, "ServerReflectionResponse")
FileDescriptorResponse = message_class(DESCRIPTOR, "FileDescriptorResponse")
ExtensionNumberResponse = message_class(DESCRIPTOR, "ExtensionNumberResponse")
ListServiceResponse = message_class(DESCRIPTOR, "ListServiceResponse")
ServiceResponse = message_class(DESCRIPTOR, "ServiceResponse")
ErrorResponse = message_class(DESCRIPTOR, "ErrorResponse")
