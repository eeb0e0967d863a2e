# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Tool Command Language"
HOMEPAGE="https://www.tcl-lang.org/"
# Debian's archive leaves out what is not free or not Tcl (documents, sqlite,
# zlib for Windows); what is compiled is upstream's.
SRC_URI="mirror://debian/pool/main/t/tcl$(ver_cut 1-2)/tcl$(ver_cut 1-2)_${PV}+dfsg.orig.tar.gz -> ${P}.tar.gz"
S="${WORKDIR}/${PN}${PV}/unix"

LICENSE="tcltk Spencer-99"
SLOT="0/$(ver_cut 1-2)"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND="sys-libs/zlib"
DEPEND="${RDEPEND}"

src_configure() {
	cl_toolchain_export

	# Its library is the layer's directory, not one found by looking around;
	# zlib is the layer's. Time zones are the host's, as for all programs.
	local -x ac_cv_header_zlib_h=yes
	econf --enable-threads --enable-shared --disable-rpath --disable-dtrace \
		--with-encoding=utf-8 --without-tzdata --enable-man-symlinks
}

src_compile() {
	# Upstream's library has no soname, and who links it by another name would
	# ask for that one.
	emake binaries libraries \
		TCL_LIBRARY="${EPREFIX}/usr/$(get_libdir)/tcl$(ver_cut 1-2)" \
		TCL_SHLIB_LD_EXTRAS="-Wl,-soname,libtcl$(ver_cut 1-2).so"
}

src_test() {
	# Of upstream's tests, those of the language itself: seconds.
	local -x LANG=C.UTF-8 TCL_LIBRARY=${S%/unix}/library output
	emake tcltest TCL_LIBRARY="${EPREFIX}/usr/$(get_libdir)/tcl$(ver_cut 1-2)"
	output=$(LD_LIBRARY_PATH=${S} ./tcltest ../tests/all.tcl -singleproc 1 -tmpdir "${T}" -file \
		'append.test case.test concat.test dict.test expr.test for.test format.test if.test incr.test
		lindex.test list.test lsearch.test namespace.test proc.test regexp.test string.test subst.test
		switch.test trace.test upvar.test while.test zlib.test' 2>&1)
	echo "${output}" | tail -n 40
	[[ ${output} =~ Total[[:space:]]+([0-9]+).*Failed[[:space:]]+([0-9]+) ]] || die "the tests did not end"
	(( BASH_REMATCH[1] > 3000 && BASH_REMATCH[2] == 0 )) || die "upstream's tests fail"
}

src_install() {
	local version=$(ver_cut 1-2)
	local library=${EPREFIX}/usr/$(get_libdir)
	emake -j1 install-binaries install-libraries install-msgs install-headers install-private-headers \
		DESTDIR="${D}" INSTALL_ROOT="${D}" TCL_LIBRARY="${library}/tcl${version}"

	# What extensions read says where the layer is, not where it was built.
	sed -i -E \
		-e "s#${WORKDIR}/tcl${PV}/unix#${library}#g" \
		-e "s#${WORKDIR}/tcl${PV}#${library}/tcl${version}#g" \
		-e "s# ?-ffile-prefix-map=[^ '\"]*##g" \
		"${ED}/usr/$(get_libdir)"/{tclConfig.sh,tclooConfig.sh,pkgconfig/tcl.pc} || die
	find "${ED}" -name '*.a' ! -name 'libtclstub*' -delete || die
	dosym "tclsh${version}" /usr/bin/tclsh
	dosym "libtcl${version}.so" "/usr/$(get_libdir)/libtcl.so"
	newman ../doc/tclsh.1 tclsh.1
	dodoc ../README.md ../changes
}
