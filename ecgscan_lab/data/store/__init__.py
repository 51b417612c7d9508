"""Prepared recordings in Arrow shards: built once, mapped into memory, read at random by any number of workers."""

from __future__ import annotations

from ecgscan_lab.data.store.build import build_store
from ecgscan_lab.data.store.records import RecordStore, StoreCheck, load_store, open_store, verify_store
from ecgscan_lab.data.store.sources import find_source, table_of

__all__ = [
    "RecordStore",
    "StoreCheck",
    "build_store",
    "find_source",
    "load_store",
    "open_store",
    "table_of",
    "verify_store",
]
