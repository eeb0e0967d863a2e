"""What a person or a program gets to see: findings, plans and changes in several formats, progress, and errors.

One module per thing that is shown. Each has a ``RENDERERS`` table from format name to function, so that a format is
added by writing one function and naming it there; ``formats.pick`` turns an unknown name into a usage error. Nothing
here decides anything.
"""
