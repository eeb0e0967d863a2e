# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-settings

DESCRIPTION="The directories of a layer, and what its login shells read"
HOMEPAGE="https://wiki.gentoo.org/wiki/Project:Prefix"
S="${WORKDIR}"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_compile() {
	sed -e "s|@EPREFIX@|${EPREFIX}|g" "${FILESDIR}/profile" > profile || die
}

src_test() {
	# The same file for a prefix of our own: what a layer that is installed
	# already has in its profile.d must not decide this test.
	local prefix=${T}/prefix shell
	mkdir -p "${prefix}/etc/profile.d" || die
	sed -e "s|@EPREFIX@|${prefix}|g" "${FILESDIR}/profile" > "${prefix}/etc/profile" || die
	echo 'FROM_ENV_D=yes' > "${prefix}/etc/profile.env" || die
	echo 'FROM_PROFILE_D=yes' > "${prefix}/etc/profile.d/tool.sh" || die
	cat > "${T}/check" <<-'EOF' || die
		set -eu
		. "${1}/etc/profile"
		. "${1}/etc/profile"
		test "${PATH}" = "${1}/usr/bin:${1}/usr/sbin:/usr/bin:/bin"
		test "${MANPATH}" = "${1}/usr/share/man:"
		test "${COMPATLAYER_PREFIX}" = "${1}"
		test "${FROM_ENV_D}${FROM_PROFILE_D}" = yesyes
	EOF
	for shell in sh bash; do
		env -i PATH=/usr/bin:/bin "${shell}" "${T}/check" "${prefix}" || die "${shell} does not read it"
	done

	# Inside another prefix, or after a host's own file, this layer still wins.
	env -i PATH=/elsewhere:"${prefix}/usr/bin":/usr/bin:/bin sh -euc \
		'. "${1}/etc/profile"; case ${PATH} in "${1}/usr/bin:"*) ;; *) exit 1 ;; esac' sh "${prefix}" ||
		die "the layer's programs do not come first"
}

src_install() {
	insinto /etc
	doins profile
	keepdir /etc/profile.d /etc/env.d

	use prefix-guest && return

	# With a C library of its own the layer has one directory of each kind, and
	# the short names that programs and people expect lead there.
	local name
	for name in bin sbin lib "$(get_libdir)"; do
		keepdir "/usr/${name}"
		dosym "usr/${name}" "/${name}"
	done

	# Where that library looks names up. The engine sets CL_NSS; "host" means
	# that this file is declared as a link to the host's.
	if [[ ${CL_NSS:-own} == own ]]; then
		insinto /etc
		doins "${FILESDIR}/nsswitch.conf"
	fi
	cl_record "nss=${CL_NSS:-own}"
}
