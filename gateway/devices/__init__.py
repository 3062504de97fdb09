"""What there is to run on, and which part of it an instance gets.

nvml         what the driver tells of cards and slices, asked and never changed
visibility   which of them CUDA_VISIBLE_DEVICES leaves | host: memory of the machine within its cgroups
inventory    all devices, in the order in which they are counted, and which are lost | watch: looks again
placement    on which an instance goes | reserve: how much of one instances may have
seats        what a worker on it sees

Values from NVML and from the kernel, and pure decisions over them. Used by the controller only; never
changes a setting of a card, and imports no engine. Without NVML there is the CPU and nothing else.
"""
