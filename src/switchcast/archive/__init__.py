"""The history of what was heard: kept on disk, searched, and told as the story of a call.

::

    segment   the files of an archive, their tables and names      settings   what can be set
    blocks    events as bytes                                      terms      what people search by
    writing   ArchiveWriter: write, commit                         reading    ArchiveReader: events, blocks, stats
    retention what is removed                                      recovery   what is damaged, and what can be saved
"""
