# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Compresses and decompresses files"
HOMEPAGE="https://www.gnu.org/software/gzip/"
# Debian's file is byte for byte GNU's.
SRC_URI="
	https://ftp.gnu.org/gnu/gzip/${P}.tar.xz
	mirror://debian/pool/main/g/gzip/gzip_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export

	# Named, not located.
	local -x gl_cv_posix_shell=/bin/sh ac_cv_path_GREP=grep ac_cv_path_EGREP="grep -E"
	econf --disable-gcc-warnings
}

src_test() {
	# Upstream's need what a small host lacks.
	local said
	echo content > "${T}/plain" || die
	cl_run ./gzip -9n "${T}/plain"
	[[ ! -e ${T}/plain ]] || die "the plain file is still there"
	said=$(./gzip -dc "${T}/plain.gz") || die
	[[ ${said} == content ]] || die "what comes out is not what went in"
	printf broken >> "${T}/plain.gz" || die
	./gzip -t "${T}/plain.gz" 2>/dev/null && die "a damaged file is called sound"
	return 0
}

src_install() {
	default
	# Two that nobody should use: one packs programs, one asks for a pager.
	rm "${ED}"/usr/bin/{gzexe,zless} "${ED}"/usr/share/man/man1/{gzexe,zless}.1 || die
	cl_shebangs
}
