# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

MY_P="${P/-utils}"
DESCRIPTION="The xz and lzma compressors and their library"
HOMEPAGE="https://tukaani.org/xz/"
# Debian's file carries upstream's signature: it is upstream's file.
SRC_URI="
	https://github.com/tukaani-project/xz/releases/download/v${PV}/${MY_P}.tar.xz
	mirror://debian/pool/main/x/xz-utils/xz-utils_${PV}.orig.tar.xz -> ${MY_P}.tar.xz
"
S="${WORKDIR}/${MY_P}"

# The library is 0BSD, the programs use getopt (LGPL-2.1+), the scripts are GPL-2+.
LICENSE="0BSD LGPL-2.1+ GPL-2+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export

	# The scripts need a POSIX shell, not the one this machine would name.
	local -x gl_cv_posix_shell=/bin/sh
	# No sandbox: whether it is compiled in would depend on kernel headers, and
	# xz in a view or container meets system calls that sandboxes forbid.
	econf --disable-nls --disable-doc --disable-rpath --enable-sandbox=no
}

src_test() {
	# Upstream's, a few seconds.
	emake check
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die
	cl_shebangs
}
