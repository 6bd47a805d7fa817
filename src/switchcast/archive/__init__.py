"""The history of what was heard: kept on disk, searched, and told as the story of a call.

::

    writing     ArchiveWriter: write, commit               reading     ArchiveReader: events, blocks, stats
    recording   a thread that writes                       terms       what people search by
    filling     the block that is being filled             times       points in time as people write them
    blocks      events as bytes                            query       what was asked for, as events
    segment     the files, their tables and names          columns     events as a table; arrow, sql and export
    settings    what can be set                            trace/      the story of a call
    retention   what is removed
    recovery    what is damaged; salvage: what of that can be read all the same
"""
