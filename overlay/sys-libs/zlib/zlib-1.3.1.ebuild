# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Deflate compression library"
HOMEPAGE="https://zlib.net/"
# Debian's archive leaves out a PDF and files of unclear licence in contrib/;
# what is compiled is upstream's.
SRC_URI="mirror://debian/pool/main/z/zlib/zlib_$(ver_cut 1-2).dfsg+really${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="ZLIB"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export

	# Not autoconf: this script takes few options, and tools from the environment.
	cl_run ./configure \
		--prefix="${EPREFIX}/usr" \
		--libdir="${EPREFIX}/usr/$(get_libdir)" \
		--sharedlibdir="${EPREFIX}/usr/$(get_libdir)" \
		--uname=linux
}

src_test() {
	# Upstream's, a second.
	emake test
}

src_install() {
	emake install DESTDIR="${D}"
	# Software links the shared library: one copy, one place to repair.
	rm "${ED}/usr/$(get_libdir)/libz.a" || die
	dodoc README ChangeLog
}
