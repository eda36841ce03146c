"""`dualtower rollout`: a new pair takes the place of the old one, whole or not at all.

    push ─► load ─► shadow ─► promote ─► prune
                                 └─► rollback

Each step is a function of a `Session`, which holds the target's lock and its journal.
"""
