#!/usr/bin/env bash
# Stands in for Gentoo's bootstrap-prefix.sh, which takes hours and the network: called alike, it works stage by stage as that does,
# honours the same variables, leaves the same marks, logs and litter, and refuses for the same reasons. What it makes is a prefix
# with a real Portage. A file in PORTAGE_TMPDIR makes it fail (fail-STAGE) or wait (pause-STAGE) in the middle of a stage.
# shellcheck disable=SC2329  # the stages, and what they call, are called by name
trap 'exit 1' TERM INT QUIT ABRT
unset TMP TMPDIR TEMP

ROOT=$1
TODO=$2
say() { printf '\033]2;%s\007' "$*"; echo "* $*"; }
complain() { echo "!!! $*" >&2; }

[[ -n ${TODO} ]] || { echo "usage: $0 [<prefix-path> <action>]"; exit 1; }
PORTDIR=${PORTDIR:-${ROOT}/var/db/repos/gentoo}
DISTDIR=${DISTDIR:-${ROOT}/var/cache/distfiles}
PORTAGE_TMPDIR=${PORTAGE_TMPDIR:-${ROOT}/var/tmp}
MAKE_CONF=${ROOT}/etc/portage/make.conf/0100_bootstrap_prefix_make.conf
export PORTDIR DISTDIR PORTAGE_TMPDIR

fetch() { # URL: what is there already is taken as it is, unverified
    local name=${1##*/} place
    [[ -e ${DISTDIR}/${name} ]] && return 0
    mkdir -p "${DISTDIR}"
    for place in ${GENTOO_MIRRORS}; do
        [[ ${place} = /* && -e ${place}/${name} ]] && cp "${place}/${name}" "${DISTDIR}/${name}" && return 0
    done
    read -r -a command <<< "${FETCH_COMMAND:-wget -t 3 -T 3}"
    for place in ${GENTOO_MIRRORS} http://distfiles.example.org; do
        (cd "${DISTDIR}" && "${command[@]}" "${place}/distfiles/${name}" < /dev/null)
        [[ -f ${DISTDIR}/${name} ]] && return 0
    done
    (cd "${DISTDIR}" && "${command[@]}" "$1" < /dev/null)
    [[ -f ${DISTDIR}/${name} ]] || { complain "downloading $1 failed!"; return 1; }
}

middle() { # STAGE
    if [[ -e ${PORTAGE_TMPDIR}/pause-$1 ]]; then
        touch "${PORTAGE_TMPDIR}/reached-$1"
        sleep 3000
    fi
    [[ ! -e ${PORTAGE_TMPDIR}/fail-$1 ]] || { complain "configure: error: no acceptable C compiler for $1"; return 1; }
}

stage1() {
    mkdir -p "${ROOT}"/tmp/{bin,usr/bin,etc} "${ROOT}"/{etc/portage/make.conf,usr/{bin,sbin,share},var/{tmp,db/pkg,log/portage}}
    fetch https://example.org/optional-1.tar.gz || say "going on without optional"
    fetch https://example.org/tool-2.tar || fetch https://example.org/tool-1.tar || return 1
    say "stage1: building tool"
    tar -xf "${DISTDIR}"/tool-1.tar -C "${ROOT}/tmp/usr/bin" || return 1
    middle stage1 || return 1
    if [[ ! -e ${PORTDIR}/.unpacked ]]; then
        fetch https://example.org/snapshots/portage-latest.tar.bz2 || return 1
    fi
    [[ -f ${ROOT}/etc/hosts ]] || cp /etc/hosts "${ROOT}/etc/hosts"
    [[ -f ${ROOT}/etc/passwd ]] || ln -sf /etc/passwd "${ROOT}/etc/passwd"
    cat > "${MAKE_CONF}" <<EOF
# Added by the script for ${CHOST}
DISTDIR="${DISTDIR}"
MAKEOPTS="-j${USE_CPU_CORES}"
PORTAGE_USERNAME="$(id -un 2>/dev/null || echo "${USER}")"
PORTAGE_GRPNAME="$(id -gn 2>/dev/null || echo "${USER}")"
PORTAGE_INST_UID="$(id -u)"
PORTAGE_INST_GID="$(id -g)"
EOF
    [[ -e ${ROOT}/etc/portage/make.profile ]] || ln -s "${PORTDIR}/profiles/default" "${ROOT}/etc/portage/make.profile"
    echo "# a hack of the script's" >> "${ROOT}/etc/portage/make.profile/package.use" || return 1
    fetch https://example.org/prefix-portage-3.tar || return 1
    tar -xf "${DISTDIR}/prefix-portage-3.tar" -C "${ROOT}/tmp" || return 1
}

stage2() {
    [[ -e ${ROOT}/tmp/bin/emerge ]] || { complain "emerge not found, did you bootstrap stage1?"; return 1; }
    say "stage2: emerge sys-devel/gcc"
    middle stage2 || return 1
    echo "a compiler" > "${ROOT}/tmp/usr/bin/cc"
}

stage3() {
    [[ -e ${ROOT}/tmp/usr/bin/cc ]] || { complain "gcc not found, did you bootstrap stage2?"; return 1; }
    say "stage3: emerge sys-apps/portage"
    cp -RpP "${ROOT}"/tmp/{bin,lib,share,pyvenv.cfg} "${ROOT}"/ || return 1
    printf '[DEFAULT]\nmain-repo = gentoo\n\n[gentoo]\nlocation = %s\n' "${PORTDIR}" > "${ROOT}/share/portage/config/repos.conf"
    local program place
    for program in usr/bin/emerge usr/sbin/env-update; do
        place=${ROOT}/${program}
        printf '#!/bin/sh\nexec "%s/bin/python3" "%s/bin/%s" "$@"\n' "${ROOT}" "${ROOT}" "${program##*/}" > "${place}"
        chmod 755 "${place}"
    done
    middle stage3 || return 1
    local treedate
    treedate=$(date -f "${PORTDIR}/metadata/timestamp" +%s)
    if [[ -e ${PORTDIR}/.unpacked || $(($(date +%s) - 86400)) -ge ${treedate} ]]; then
        say "stage3: updating Portage tree"
        emerge --color n --sync || return 1
    fi
    say "stage3: emerge @system"
    "${ROOT}/usr/bin/emerge" --color n -v --deep --update --changed-use @system || return 1
}

run() { # STAGE
    [[ -e ${ROOT}/.$1-finished ]] && return 0
    echo "===== $1 -- $(date -u +%Y-%m-%dT%H:%M:%SZ) =====" >> "${ROOT}/$1.log"
    "$1" 2>&1 | tee -a "${ROOT}/$1.log"
    [[ ${PIPESTATUS[0]} == 0 ]] || return 1
    touch "${ROOT}/.$1-finished"
}

[[ ${UID} != 0 ]] || { echo "I'm just refusing to help you any further here."; exit 1; }
for flag in LD_LIBRARY_PATH PYTHONPATH CPATH CFLAGS; do
    # What the person's login files set counts, not what is set here.
    found=$(echo "echo \"((\${${flag}}))\"" | env -i HOME="${HOME}" "${SHELL}" -l 2>/dev/null)
    [[ ${found} == "(())" ]] || { echo "your shell environment contains some variables I'm allergic to: ${flag}"; exit 1; }
done
[[ $(cd "${ROOT}" && pwd -P) == "${ROOT}" ]] || { echo "${ROOT} contains a symlink"; exit 1; }
touch "${ROOT}/.canihaswrite" || exit 1
rm "${ROOT}/.canihaswrite"
for stage in stage1 stage2 stage3; do
    if ! run "${stage}"; then
        printf '\nI tried running\n  %s\nbut that failed :(  I have no clue, really.\n' "${stage}"
        exit 1
    fi
    [[ ${STOP_BOOTSTRAP_AFTER} == "${stage}" ]] && exit 0
done
exit 0
