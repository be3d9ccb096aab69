"""LoRA adapters of a tenant: who may use one, what it was trained on, and what ends it.

True at every commit:

1. Who uses a live adapter can see every document it was trained on, now: the audiences of these documents are
   kept with the adapter, and all of them must be in the asker's clearance.
2. A training document that is hidden (deleted, erased, held or restricted), moved to another audience, or given
   new content that is ready retires the adapter in the same transaction, whoever does it and however: triggers
   of the database see to it, and code cannot forget.
3. A training document is the current version of a document that the member who registers can see, at the commit.
4. candidate -> live -> retired -> erased; never back, and nothing of a registered adapter is altered.
5. The weights of an erased adapter are on no disk of ours, and no model server that answers has them by name.
"""
