"""A model version from absent to ready and back: the table of states, and the actor that performs it."""
