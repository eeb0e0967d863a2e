# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Says where in PATH a program is"
HOMEPAGE="https://carlowood.github.io/which/"
# Debian's archive leaves out the manual, whose licence it does not carry;
# what is compiled is upstream's.
SRC_URI="mirror://debian/pool/main/g/gnu-which/gnu-which_${PV}+dfsg.orig.tar.gz -> ${P}.tar.gz"
S="${WORKDIR}/gnu-${P}+dfsg"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_prepare() {
	default
	# The manual is not there to be made or installed.
	sed -i -e '/^info_TEXINFOS/d' Makefile.am || die
	sed -i -e 's/^INFO_DEPS = .*/INFO_DEPS =/; s/^TEXINFOS = .*/TEXINFOS =/; s/^info_TEXINFOS = .*//' Makefile.in || die
	# Times as in a release: nothing is to be made again.
	touch aclocal.m4 && touch configure config.h.in Makefile.in || die
}

src_configure() {
	cl_toolchain_export
	econf
}

src_compile() {
	emake -C tilde libtilde.a
	emake which
}

src_test() {
	# Upstream has none.
	mkdir -p "${T}"/{one,two} || die
	printf '#!/bin/sh\n' | tee "${T}/one/tool" "${T}/two/tool" >/dev/null || die
	chmod +x "${T}"/{one,two}/tool || die
	touch "${T}/one/no-program" || die
	local -x PATH="${T}/one:${T}/two:${PATH}"
	[[ $(./which tool) == "${T}/one/tool" ]] || die "finds another tool"
	[[ $(./which -a tool) == "${T}/one/tool"$'\n'"${T}/two/tool" ]] || die "does not find all tools"
	./which no-program 2>/dev/null && die "finds what cannot be run"
	./which no-such-program 2>/dev/null && die "finds what is not there"
	return 0
}

src_install() {
	dobin which
	doman which.1
	dodoc README README.alias NEWS
}
