"""Declare, build, verify, publish and promote a compatibility layer.

A compatibility layer is a tree of packages under one fixed path, built by Portage, converged by Ansible and published to
many machines. This package decides, checks and remembers; see docs/ for the way through the house.
"""

__version__ = "0.1.0"
