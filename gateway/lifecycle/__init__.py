"""A model version from absent to ready and back, and the fronts that are told of it.

states      the table of what may follow what
version     the actor of one version | instance: one copy of it | roster: its copies | files, failures: what
            it was loaded from, what is held against it | means: what all of it works with
manager     all versions of a repository; turns what is offered into versions, and changes into views
handover    old versions give way to new ones, as succession decides
placing     memory and load slots of devices, handed out: books, turns, eviction, predictions, asking
autoscaler  instances by use, as scaling decides over demand | prefetch: loads before anybody asks
fronts      the front processes: started, told the world, connected to workers, restarted, drained;
            front_contract: what they and the rest are to each other | front_reports: what they count
fetching    brings versions of stores here
following   the repository, looked at as looks has it | loads: load and unload on somebody's word
desk        answers what fronts ask | roll_call: waits until all of them have answered
observing   what callers have set of traces and logs | accounts: what is told of versions
offers      the repository's words as a worker's orders | facts, ledger, journal: what telemetry learns
ensembles   what stands in one, and what the index tells of it | disappearance: what of a listing is believed

Runs in the controller, on its loop, without an await between reading and writing of any state. Knows
no socket of a client and no engine.
"""
