"""What models were asked and what they answered, as CloudEvents: sampled, redacted, never on a request's way.

settings   what is kept of what, and where it goes | events: from a request and its answer to an event
sinks      a file, an address, or (stores) an object store | plugin: the hooks
"""
