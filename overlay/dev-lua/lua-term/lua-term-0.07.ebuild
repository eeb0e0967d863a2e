# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-lua

DESCRIPTION="Terminal control for Lua"
HOMEPAGE="https://github.com/hoelzro/lua-term"
SRC_URI="
	https://github.com/hoelzro/lua-term/archive/refs/tags/${PV}.tar.gz -> ${P}.tar.gz
	mirror://debian/pool/main/l/lua-term/lua-term_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export
}

src_compile() {
	# Upstream's makefile passes no LDFLAGS.
	cl_lua_cmodule term/core core.c
}

src_test() {
	# Upstream has no tests. A pipe is no terminal; colours are escape codes.
	local -x LUA_PATH="${S}/?.lua;${S}/?/init.lua" LUA_CPATH="${S}/?.so"
	cl_run "$(cl_lua_interpreter)" -e "
		local term = require('term')
		local pipe = io.popen('true')
		assert(term.isatty(pipe) == false)
		pipe:close()
		assert(term.colors.red('x') == '\27[31mx\27[0m')
	"
}

src_install() {
	exeinto "$(cl_lua_cdir)/term"
	doexe term/core.so
	insinto "$(cl_lua_dir)/term"
	doins term/{init,cursor,colors}.lua
	dodoc CHANGES README.md
}
