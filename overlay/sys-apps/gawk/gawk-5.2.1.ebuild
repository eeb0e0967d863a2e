# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="A language for lines of text"
HOMEPAGE="https://www.gnu.org/software/gawk/"
# Debian packs it anew.
SRC_URI="mirror://debian/pool/main/g/gawk/gawk_${PV}.orig.tar.xz -> ${P}-debian.tar.xz"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# Its shell.
RDEPEND+=" !prefix-guest? ( app-shells/bash )"

src_prepare() {
	default

	# Neither manuals in other formats than man(1)'s nor the examples that are
	# taken from them: Debian leaves their source out.
	sed -i -e '/^SUBDIRS = /,/[^\\]$/ s/ extras doc awklib / /' Makefile.in || die
	grep -qE '^SUBDIRS = .* (doc|awklib)\b' Makefile.in && die "doc/ is still to be built"

	# system() and pipes run the layer's shell.
	if ! use prefix-guest; then
		sed -i -e "s|\"/bin/sh\"|\"${EPREFIX}/bin/sh\"|g" io.c || die
		grep -qF "\"${EPREFIX}/bin/sh\"" io.c || die "the shell has moved"
	fi
	touch aclocal.m4 && touch configure configh.in && find . -name Makefile.in -exec touch {} + || die
}

src_configure() {
	cl_toolchain_export
	econf --disable-extensions --disable-mpfr --disable-nls --disable-rpath --without-readline --without-libsigsegv
}

src_test() {
	# Upstream's has five hundred; those of its basic set take seconds.
	emake -C test CMP=cmp basic
}

src_install() {
	default
	newman doc/gawk.1 gawk.1
	dosym gawk /usr/bin/awk
	# One name, and no report of an error by mail.
	rm -rf "${ED}"/usr/bin/gawk-${PV} "${ED}"/usr/bin/gawkbug "${ED}"/usr/include "${ED}"/etc/profile.d || die
	cl_shebangs
}
