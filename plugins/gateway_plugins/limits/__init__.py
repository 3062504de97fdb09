"""Who may come in now: quotas of callers, and what is shed before it makes everything late.

plugin        the hooks: asks all, then takes | settings: [plugins.settings.limits]
rules         which limits a caller meets at a model, and what is said of each
bucket        a rate with a burst, as arithmetic | table: the buckets of many keys, bounded
concurrency   how many are in at a time
pressure      what we are too busy for, a model: composes the three below
gradient      how many at a time a model answers in good time, learnt
codel         a standing queue, and how fast to shed for it
retry_storm   who tries again, and when that has to wait
priority      who is shed first

The rules are the caller's business (429), pressure is ours (503). All of it is a front's own: with several
fronts each gets its share of every rule (`fronts`), and learns its own pressure.
"""
