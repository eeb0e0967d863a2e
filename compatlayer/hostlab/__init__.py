"""The layer under synthetic hosts: root file systems made on the spot, each with one thing that goes wrong on real ones.

``description`` reads what a host is, ``layout`` makes its root, ``laboratory`` runs the acceptance tests in it. Those that come
with the program are in ``hosts/``; a site's own are ``tests/hosts/*.yaml`` beside its ``layer.yaml``.
"""
