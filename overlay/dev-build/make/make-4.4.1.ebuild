# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Builds programs from makefiles"
HOMEPAGE="https://www.gnu.org/software/make/"
# Debian's archive leaves out doc/, whose licence it does not carry; what is
# compiled is upstream's.
SRC_URI="mirror://debian/pool/main/m/make-dfsg/make-dfsg_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# Its shell.
RDEPEND+=" !prefix-guest? ( app-shells/bash )"

src_prepare() {
	default

	# "include" searches the layer's headers, not the host's.
	sed -i -e '/^    "\/usr\/\(gnu\/\|local\/\|\)include",$/d' src/read.c || die
	if grep -n '"/usr' src/read.c; then
		die "a directory for makefiles has moved"
	fi

	# Recipes run in the layer's shell, where the layer always has one.
	if ! use prefix-guest; then
		sed -i -e "s|default_shell = \"/bin/sh\"|default_shell = \"${EPREFIX}/bin/sh\"|" src/job.c || die
		grep -qF "\"${EPREFIX}/bin/sh\"" src/job.c || die "the default shell has moved"
	fi

	# The directory of the manual is not there.
	sed -i -e 's|^SUBDIRS =\(.*\) doc|SUBDIRS =\1|; s| *doc/make\.1||' Makefile.in || die
	sed -i -e 's| doc/Makefile||; s|^ *"doc/Makefile") .*||' configure || die
	touch aclocal.m4 && touch configure src/config.h.in && find . -name Makefile.in -exec touch {} + || die
}

src_configure() {
	cl_toolchain_export
	econf --program-prefix= --disable-nls --disable-rpath --without-guile --without-dmalloc
}

src_test() {
	# Upstream's suite is two minutes of perl. These parts of it take seconds.
	local suites=(
		features/{conditionals,echoing,errors,exec,include,order_only,parallelism,patternrules}
		functions/{call,eval,filter-out,foreach,if,sort,wildcard,word} variables/{CURDIR,MAKEFLAGS,SHELL,flavors}
	)
	cd tests || die
	cl_run perl -I"${PWD}" run_make_tests.pl -srcdir "${S}" -make ../make "${suites[@]}"
}

src_install() {
	default
	dosym make /usr/bin/gmake
}
