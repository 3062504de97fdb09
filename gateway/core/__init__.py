"""Values and rules every package may know; imports numpy and msgspec, nothing else.

Words, one each, everywhere: *model*, *version* (positive integer), *instance* (one loaded copy of a
model version), *worker* (a process that hosts instances), *front* (a data-plane process),
*controller* (the control-plane process), *row* (one item along the batch axis), *batch* (rows run
together).

Values are frozen `msgspec.Struct`s: building one costs 0.15 us where a frozen dataclass costs 0.9 us,
which is a fifth of what a whole request may cost here, and the same types travel on the control
channel, validated, without pickle. Those that live in a front alone and are made anew for each request
are plain classes (`value.Value`), which the compiled copy makes native.
"""
