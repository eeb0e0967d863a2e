# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="find and xargs"
HOMEPAGE="https://www.gnu.org/software/findutils/"
# Debian's file is byte for byte GNU's.
SRC_URI="
	https://ftp.gnu.org/gnu/findutils/${P}.tar.xz
	mirror://debian/pool/main/f/findutils/findutils_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# The change log names directories of those who made the changes.
DOCS=( NEWS README THANKS )

src_prepare() {
	default

	# locate keeps a database of the host's files: not a layer's business. The
	# manual's makefile wants a page that locate's makes, so the manual goes too;
	# the pages of find and xargs for man(1) are theirs.
	sed -i -e '/^SUBDIRS = /{s/ locate / /;s/ doc / /}' Makefile.in || die
	grep -qE '^SUBDIRS = .* (locate|doc) ' Makefile.in && die "locate is still to be built"
	touch aclocal.m4 && touch configure config.h.in && find . -name Makefile.in -exec touch {} + || die
}

src_configure() {
	cl_toolchain_export

	# Named, not located.
	local -x gl_cv_posix_shell=/bin/sh ac_cv_path_SORT=sort
	econf --disable-nls --disable-rpath --without-selinux
}

src_test() {
	# Upstream's take minutes with those of its portability library.
	local said
	mkdir -p "${T}"/tree/{one,two} || die
	touch "${T}/tree/one/a file" "${T}/tree/two/other" || die
	said=$("${S}/find/find" "${T}/tree" -name '* *' -print0 | "${S}/xargs/xargs" -0 -n 1 printf '[%s]') || die
	[[ ${said} == "[${T}/tree/one/a file]" ]] || die "found ${said}"
	said=$("${S}/find/find" "${T}/tree" -mindepth 1 -type d -empty) || die
	[[ -z ${said} ]] || die "calls ${said} empty"
}
