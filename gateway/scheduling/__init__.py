"""From request to batch to instance: pure decisions, and one actor per model version that acts on them.

queue          the actor; batching its decisions, slot an instance as it sees it
queue_policy   what a model's policy says of a request's priority and timeout; levels: who waits under one
ordering       answers in the order of arrival, where a model wants that
signature, splitting, pending, failures, poison
               what a request must be, how a batch's outputs and failures become its members', what kills
"""
