"""What the line is made of; ``switchcast.node`` is the line itself.

``plan`` says what a node is to do, in values that are compared. ``sources`` and ``sinks`` are its running ends,
``holding`` the endpoints that several of them use, ``reloading`` the way from one plan to the next. ``addresses``,
``duplicates``, ``loops`` and ``gaps`` each know one thing about events; ``state`` how a part fares.
"""
