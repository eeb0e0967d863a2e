# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Compares files"
HOMEPAGE="https://www.gnu.org/software/diffutils/"
# Debian's file is byte for byte GNU's.
SRC_URI="
	https://ftp.gnu.org/gnu/diffutils/${P}.tar.xz
	mirror://debian/pool/main/d/diffutils/diffutils_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export

	# Named, not located.
	local -x gl_cv_posix_shell=/bin/sh ac_cv_path_PR_PROGRAM=pr PR_PROGRAM=pr
	econf --disable-nls --disable-rpath
}

src_test() {
	# Those of upstream's tests that take seconds.
	emake -C tests check TESTS="basic bignum binary brief-vs-stat-zero-kernel-lies cmp diff3 filename-quoting new-file"
}
