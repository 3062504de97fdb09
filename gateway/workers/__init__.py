"""Processes that host models, and the channels to them.

zygote      a forkserver with numpy and the engines imported: no session, no thread
child       main() of a worker: load, run batches, report; the only place an engine lives
loading     a model by the name of its runtime | warming: its warm-up requests, before it is ready
tenancy     a worker's models where it is shared, each in a thread | tenants: the controller's side of them
supervisor  the controller's side: makes workers, notices hangs and deaths, each a handle | forkserver: keeps
            a zygote, bases: all there are | warm_pool: workers that wait
restart     when the dead come back | forking: the zygote's messages | processes, parentage: the system's part
channel     a front's side: batches out, replies in, over one SOCK_SEQPACKET pair per worker
streaming   a decoupled model's answers to one batch, in the worker
calls       of other models: call_link the front's end, call_channel the worker's, of call_frames; call_memory
            and call_arrays what they carry, channel_call one call as its model holds it
frames      the data channel's binary layout | arena: shared memory for large tensors
messages    the control channel between controller and worker

Never imports a web server; replies of a worker are validated as if it were hostile.
"""
