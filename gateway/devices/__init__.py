"""What there is to run on, and which part of it an instance gets.

Values from NVML and from the kernel, and pure decisions over them. Used by the controller only; never
changes a setting of a card, and imports no engine. Without NVML there is the CPU and nothing else.
"""
