# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="The ways into a layer: startprefix, and init.sh for shells that run already"
HOMEPAGE="https://wiki.gentoo.org/wiki/Project:Prefix"
S="${WORKDIR}"

LICENSE="GPL-2+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# A layer on the host's C library may leave the shell to the host as well.
RDEPEND+="
	sys-apps/baselayout-prefix
	!prefix-guest? ( app-shells/bash )
"
DEPEND+=" !prefix-guest? ( app-shells/bash )"

# The program that startprefix is interpreted by, below the prefix.
CL_INTERPRETER=/usr/lib/prefix-toolkit/clean-sh

cl_shell() {
	if use prefix-guest; then
		echo /bin/bash
	else
		echo "${EPREFIX}/bin/bash"
	fi
}

# With another prefix, for the tests.
cl_fill_in() {
	local prefix=${1} name
	mkdir -p "${prefix}" || die
	for name in startprefix init.sh environment.sh; do
		sed -e "s|@EPREFIX@|${prefix}|g; s|@SHELL@|$(cl_shell)|g; s|@INTERPRETER@|${prefix}${CL_INTERPRETER}|g" \
			"${FILESDIR}/${name}" > "${2}/${name}" || die
	done
}

src_configure() {
	cl_toolchain_export
}

src_compile() {
	# Static: no loader, so nothing that a loader reads can stop it. The C
	# library of a host may lack its static half.
	local static=-static
	use prefix-guest && static=
	cl_objects build -std=c99 -D_POSIX_C_SOURCE=200809L -DCL_SHELL="\"$(cl_shell)\"" "${FILESDIR}/clean-sh.c"
	cl_program clean-sh build/clean-sh.o ${static}
	mkdir -p "${WORKDIR}/scripts" || die
	cl_fill_in "${EPREFIX}" "${WORKDIR}/scripts"
}

src_test() {
	# The scripts for a prefix of our own, in the caller's hands: variables
	# that would stop a shell from starting at all.
	local prefix=${T}/prefix said
	mkdir -p "${prefix}"/{etc/profile.d,usr/lib/prefix-toolkit,usr/bin} || die
	cl_fill_in "${prefix}" "${T}"
	mv "${T}"/{startprefix,init.sh} "${prefix}/" || die
	mv "${T}/environment.sh" "${prefix}/usr/lib/prefix-toolkit/" || die
	cp clean-sh "${prefix}${CL_INTERPRETER}" || die
	chmod +x "${prefix}/startprefix" "${prefix}/init.sh" || die
	echo 'PROFILE_WAS_READ=yes' > "${prefix}/etc/profile" || die

	local hostile=( PYTHONPATH=/x BASH_ENV=/x LUA_PATH=/x HOME=/home/x MY_OWN=1 LANG=C )
	use prefix-guest || hostile+=( LD_LIBRARY_PATH="${T}/libraries" LD_PRELOAD=/no/such/library.so )
	mkdir "${T}/libraries" || die
	echo 'this is no library' > "${T}/libraries/libc.so.6" || die
	hostile+=( STARTPREFIX_KEEP=MY_OWN )
	said=$(env -i "${hostile[@]}" "${prefix}/startprefix" env 2>&1) || die "startprefix fails: ${said}"
	grep -qx "COMPATLAYER_PREFIX=${prefix}" <<< "${said}" || die "no marker: ${said}"
	grep -qx "MY_OWN=1" <<< "${said}" || die "STARTPREFIX_KEEP is not kept: ${said}"
	if grep -E '^(LD_|PYTHONPATH|BASH_ENV|LUA_PATH)' <<< "${said}"; then
		die "the environment is not clean"
	fi
	"${prefix}/startprefix" bash -c 'exit 7'
	[[ ${?} == 7 ]] || die "the exit code is not the command's"
	"${prefix}/startprefix" no-such-command 2>/dev/null
	[[ ${?} == 127 ]] || die "an unknown command is no error"
	"${prefix}/startprefix" --help | grep -q '^usage: ' || die "no help"
	"${prefix}/init.sh" --help | grep -q 'source ' || die "init.sh explains nothing"

	# Twice, for a caller that says set -eu.
	bash -euc '
		. "${1}/init.sh"; . "${1}/init.sh"
		[ "${PROFILE_WAS_READ}" = yes ] && [ -z "${LD_LIBRARY_PATH-}" ]
	' bash "${prefix}" || die "init.sh cannot be read twice"
}

src_install() {
	exeinto "${CL_INTERPRETER%/*}"
	doexe clean-sh
	insinto "${CL_INTERPRETER%/*}"
	doins scripts/environment.sh
	exeinto /
	doexe scripts/startprefix scripts/init.sh
}
