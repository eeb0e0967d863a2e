"""From validated entries to the frozen values of ``model``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from compatlayer.declaration import model, schema
from compatlayer.declaration.yaml_nodes import Document, KeyPath


def package_set(entry: schema.SetFile, document: Document) -> model.PackageSet:
    """One set; every package knows its line."""
    return model.PackageSet(
        name=entry.name,
        file=PurePosixPath(document.shown),
        packages=tuple(
            model.DeclaredPackage(
                name=package.name,
                version=package.version,
                overlay=package.overlay,
                include_on=package.include_on or (),
                exclude_on=package.exclude_on or (),
                reason=package.reason.strip(),
                location=document.location(("packages", index)),
            )
            for index, package in enumerate(entry.packages)
        ),
    )


def layer(entry: schema.LayerFile, document: Document, file: Path, sets: Mapping[str, model.PackageSet]) -> model.Layer:
    """The whole layer; ``sets`` by the path under which ``layer.yaml`` names them."""
    return model.Layer(
        name=entry.name,
        root=file.absolute().parent,
        file=file,
        targets=tuple(model.TARGETS[name] for name in entry.targets),
        prefix_template=entry.prefix,
        versions=tuple(_version(name, version, document, sets) for name, version in entry.versions.items()),
        mirrors=dict(entry.mirrors),
        binaries=_binaries(entry.binaries) if entry.binaries else None,
        repositories={role: _repository(repository) for role, repository in entry.repositories.items()},
        gates=_gates(entry.gates),
        accepted_risks=tuple(model.AcceptedRisk(risk.advisory, risk.reason.strip(), risk.until) for risk in entry.accepted_risks),
        consumers=tuple(model.Consumer(consumer.name, consumer.path) for consumer in entry.consumers),
        builders=tuple(
            model.Builder(target, builder.host, builder.user, _path(builder.scratch), builder.jobs)
            for target, builder in entry.builders.items()
        ),
    )


def _version(name: str, entry: schema.VersionEntry, document: Document, sets: Mapping[str, model.PackageSet]) -> model.Version:
    here: KeyPath = ("versions", name)
    return model.Version(
        name=name,
        status=model.Status(entry.status),
        engine=model.EngineName(entry.engine),
        sets=tuple(sets[file] for file in entry.sets),
        tree=_source(entry.tree, document, (*here, "tree")) if entry.tree else None,
        overlays=tuple(_source(overlay, document, (*here, "overlays", index)) for index, overlay in enumerate(entry.overlays)),
        profile=entry.profile,
        trusted_dirs=entry.trusted_dirs,
        locales=entry.locales,
        host_links=tuple(model.HostLink(PurePosixPath(link.path), link.target) for link in entry.host_links),
        bootstrap=_bootstrap(entry.bootstrap) if entry.bootstrap else None,
    )


def _bootstrap(entry: schema.BootstrapEntry) -> model.Bootstrap:
    script = entry.script
    # By its commit, so that a mirror can hold the scripts of several versions.
    name = f"bootstrap-prefix-{script.commit[:12]}.sh"
    return model.Bootstrap(
        commit=script.commit,
        script=model.Source(name, script.url.format(commit=script.commit), script.size_bytes, script.sha256),
        sources=tuple(
            model.Source(source.name or source.url.rpartition("/")[2], source.url, source.size_bytes, source.sha256)
            for source in entry.sources
        ),
    )


def _source(entry: schema.EbuildRepositoryEntry, document: Document, path: KeyPath) -> model.EbuildRepository:
    return model.EbuildRepository(entry.name, _path(entry.path), entry.url, entry.commit, document.location(path))


def _repository(entry: schema.RepositoryEntry) -> model.RepositoryDeclaration:
    return model.RepositoryDeclaration(model.Backend(entry.backend), _path(entry.path), entry.name)


def _binaries(entry: schema.BinariesEntry) -> model.Binaries:
    return model.Binaries(_path(entry.path), entry.urls, tuple(PurePosixPath(key) for key in entry.keys))


def _gates(entry: schema.GatesEntry) -> model.Gates:
    return model.Gates(
        verify=entry.verify,
        advisories=entry.advisories,
        acceptance=entry.acceptance,
        parity=entry.parity,
        approvals=entry.approvals,
        approvers=tuple(PurePosixPath(approver) for approver in entry.approvers),
    )


def _path(text: str | None) -> PurePosixPath | None:
    return PurePosixPath(text) if text is not None else None
