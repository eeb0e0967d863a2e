# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Floating point of any precision, rounded exactly"
HOMEPAGE="https://www.mpfr.org/"
# Debian's file is byte for byte upstream's.
SRC_URI="
	https://www.mpfr.org/${P}/${P}.tar.xz
	mirror://debian/pool/main/m/mpfr4/mpfr4_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="LGPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND+=" dev-libs/gmp"
DEPEND+=" dev-libs/gmp"

src_configure() {
	cl_toolchain_export
	econf --enable-shared --disable-static --disable-float128
}

src_test() {
	# Upstream has two hundred, which take minutes.
	emake -C tests check TESTS="tadd tmul tdiv tsqrt texp tlog tsin tpow tset_str tget_str"
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die
}
