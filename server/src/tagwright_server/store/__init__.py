"""The only room that keeps a database: what was acknowledged is on disk, and no peewee model leaves this room.

Each public function is one transaction, or says "call inside transaction()". Nothing here decides who may do what.
"""
