# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Environment Modules: the module command in Tcl"
HOMEPAGE="https://envmodules.io/"
SRC_URI="https://github.com/envmodules/modules/releases/download/v${PV}/${P}.tar.bz2"

LICENSE="GPL-2+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND="
	app-shells/bash
	dev-lang/tcl
"
BDEPEND="dev-lang/tcl"

src_configure() {
	cl_toolchain_export

	# Everything below one directory, as Lmod's: two module commands share
	# MODULEPATH and nothing else. The pager and the logger are whatever PATH
	# has. The optional C library only saves milliseconds.
	local options=(
		--prefix="${EPREFIX}/usr/share/Modules"
		--etcdir="${EPREFIX}/etc/environment-modules"
		--mandir="${EPREFIX}/usr/share/man"
		--modulefilesdir="${EPREFIX}/etc/modulefiles"
		--with-modulepath="${EPREFIX}/etc/modulefiles"
		--with-initconf-in=etcdir
		--with-tclsh="${EPREFIX}/usr/bin/tclsh"
		--with-bin-search-path="${BROOT}/usr/bin:/usr/bin:/bin"
		--with-pager=less
		--with-logger=logger
		--with-editor=vi
		--with-python=python3
		--disable-libtclenvmodules
		--disable-doc-install
		--disable-emacs-addons
		--disable-vim-addons
		--disable-nagelfar-addons
		--disable-example-modulefiles
		--disable-set-binpath
		--disable-set-manpath
		--disable-windows-support
	)
	cl_run "${BASH}" ./configure "${options[@]}"

	# The programs it names by path would be those of this machine.
	grep -E '^(BASENAME|PS|PAGER|LOGGER|TCLSH) ' Makefile.inc
	sed -i -E -e 's#^((BASENAME|PS|MKTEMP|LS|PAGER|LOGGER|EDITOR) *:?= *)/.*/#\1#' Makefile.inc || die
}

src_test() {
	# Upstream's suite needs DejaGnu. This loads and unloads a module.
	local output
	mkdir -p "${T}/modulefiles/tool" || die
	printf '#%%Module\nsetenv CL_TOOL 1.0\nprepend-path PATH /tool/bin\n' > "${T}/modulefiles/tool/1.0" || die
	output=$(MODULEPATH=${T}/modulefiles "${BROOT}/usr/bin/tclsh" modulecmd.tcl bash load tool/1.0) || die
	echo "${output}"
	output=${output//\'/}
	[[ ${output} == *CL_TOOL=1.0* && ${output} == *PATH=/tool/bin:* ]] || die "module load sets nothing"
}

src_install() {
	emake install DESTDIR="${D}"

	# Sourced, not run.
	find "${ED}/usr/share/Modules/init" -type f -exec chmod 0644 {} + || die

	# One for Python has no interpreter here.
	grep -rlE '^#!.*\bpython' "${ED}/usr/share/Modules" | xargs -r rm || die

	local shell
	mkdir "${T}/profile.d" || die
	for shell in sh csh; do
		sed -e "s|@EPREFIX@|${EPREFIX}|g" "${FILESDIR}/modules.${shell}" > "${T}/profile.d/modules.${shell}" || die
	done
	insinto /etc/profile.d
	doins "${T}"/profile.d/modules.{sh,csh}
	keepdir /etc/modulefiles
	dodoc README.md NEWS.rst
	cl_shebangs
}
