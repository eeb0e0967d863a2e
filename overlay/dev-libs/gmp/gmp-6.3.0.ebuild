# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Arithmetic without a limit of size"
HOMEPAGE="https://gmplib.org/"
# Debian's archive leaves out the manual, whose licence it does not carry;
# what is compiled is upstream's.
SRC_URI="mirror://debian/pool/main/g/gmp/gmp_${PV}+dfsg.orig.tar.xz -> ${P}-without-manual.tar.xz"
S="${WORKDIR}/${P}+dfsg"

LICENSE="|| ( LGPL-3+ GPL-2+ )"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# Its assembler is generated with m4, which every builder has: bison needs it.
src_prepare() {
	default

	# The manual is not there to be made.
	sed -i -e '/^SUBDIRS = /s/ doc$//' Makefile.in || die
	sed -i -e 's| doc/Makefile||g; /"doc\/Makefile") /d' configure || die
	grep -qE '^SUBDIRS = .*\bdoc\b' Makefile.in && die "doc/ is still to be built"
	touch aclocal.m4 && touch configure config.in && find . -name Makefile.in -exec touch {} + || die
}

src_configure() {
	cl_toolchain_export

	# The triplet says "any processor of this architecture": without it the
	# library would be made for the builder's own.
	# Portage's variable ABI means something else to this script.
	local libdir="${EPREFIX}/usr/$(get_libdir)"
	( unset ABI; econf --libdir="${libdir}" --enable-shared --disable-static --disable-cxx --disable-assert ) || die
}

src_test() {
	# Upstream's take minutes; those of integers say whether the arithmetic is right.
	emake -C tests check SUBDIRS=.
	emake -C tests/mpz check TESTS="t-mul t-gcd t-powm t-root convert io"
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die

	# The header tells with which flags the library was compiled; one of them
	# names the build directory.
	local header="${ED}/usr/include/gmp.h"
	sed -i -E '/^#define __GMP_CFLAGS /s/ *-f[a-z]+-prefix-map=[^ "]*//g' "${header}" || die
	! grep -F "${WORKDIR}" "${header}" || die "the header names the build directory"
}
