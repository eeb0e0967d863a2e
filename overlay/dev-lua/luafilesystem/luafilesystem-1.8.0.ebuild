# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-lua

DESCRIPTION="Directories, file attributes and locks for Lua"
HOMEPAGE="https://lunarmodules.github.io/luafilesystem/"
# Debian's archive has another top directory than the one of upstream's tag,
# so the files differ; the content is the tag's.
SRC_URI="mirror://debian/pool/main/l/lua-filesystem/lua-filesystem_${PV}.orig.tar.gz -> ${P}.tar.gz"
S="${WORKDIR}/lua-filesystem-${PV}"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export
}

src_compile() {
	cl_lua_cmodule lfs src/lfs.c
}

src_test() {
	# Upstream's test, with its files in our temporary directory.
	sed -i -e "s|^local tmp = .*|local tmp = '${T}'|" tests/test.lua || die
	local -x LUA_CPATH="${S}/?.so"
	cl_run "$(cl_lua_interpreter)" tests/test.lua
}

src_install() {
	exeinto "$(cl_lua_cdir)"
	doexe lfs.so
	dodoc README.md
	docinto html
	dodoc -r doc/us/.
}
