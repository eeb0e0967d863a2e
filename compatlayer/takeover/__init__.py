"""Taking a layer over: a new layer repository from nothing, from EESSI's data, or from a prefix that exists.

``scaffold`` makes one that builds at once, ``from_eessi`` and ``from_prefix`` read what a site has today. All three end in
files by path (``scaffold.Files``), written in one go by ``scaffold.write``.
"""
