# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Complex arithmetic of any precision"
HOMEPAGE="https://www.multiprecision.org/mpc/"
# Debian's file is byte for byte GNU's.
SRC_URI="
	https://ftp.gnu.org/gnu/mpc/${P}.tar.gz
	mirror://debian/pool/main/m/mpclib3/mpclib3_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="LGPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND+=" dev-libs/gmp dev-libs/mpfr"
DEPEND+=" dev-libs/gmp dev-libs/mpfr"

src_configure() {
	cl_toolchain_export
	econf --enable-shared --disable-static
}

src_test() {
	# Upstream has seventy, which take a minute.
	emake -C tests check TESTS="tadd tmul tdiv tsqrt texp tlog tsin tpow"
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die
}
