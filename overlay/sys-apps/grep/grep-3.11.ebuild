# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Finds lines of text"
HOMEPAGE="https://www.gnu.org/software/grep/"
# Debian's file is byte for byte GNU's.
SRC_URI="
	https://ftp.gnu.org/gnu/grep/${P}.tar.xz
	mirror://debian/pool/main/g/grep/grep_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export

	local -x gl_cv_posix_shell=/bin/sh
	econf --disable-nls --disable-perl-regexp --disable-rpath
}

src_test() {
	# Those of upstream's tests that take seconds.
	emake -C tests check TESTS="bre ere empty fmbtest backref options spencer1 word-multi-file"
}

src_install() {
	default
	cl_shebangs
}
