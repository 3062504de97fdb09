"""The second engine of V2 over gRPC: the official server of grpcio in place of wire's HTTP/2.

listener   an address served by grpc.aio | options: our settings as grpcio's
calls      a call of grpcio to an endpoint | exchange: what the endpoint answers on

The endpoints and codecs are those of the native engine: a call is handed to `Service.route` as a Head,
its messages as the body they would have been. Nothing but the composition root imports this package,
and only where `frontends.grpc.engine` asks for it: it makes a front 12 MB larger (54 to 66 resident).
"""
