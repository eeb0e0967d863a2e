# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-lua

DESCRIPTION="POSIX functions for Lua"
HOMEPAGE="https://github.com/luaposix/luaposix"
SRC_URI="
	https://github.com/luaposix/luaposix/archive/refs/tags/v${PV}.tar.gz -> ${P}.tar.gz
	mirror://debian/pool/main/l/lua-posix/lua-posix_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_prepare() {
	default

	# posix.crypt would bind the layer to the host's libcrypt, whose soname
	# differs between distributions (libcrypt.so.1, libcrypt.so.2). Nothing in a
	# layer hashes passwords.
	sed -i \
		-e '/HAVE_CRYPT\b/d' \
		-e '/HAVE_CRYPT_H\b/d' \
		-e "/checksymbol='crypt'/d" \
		lukefile || die
	if grep -q crypt lukefile; then
		die "lukefile still mentions crypt"
	fi
}

src_configure() {
	cl_toolchain_export
}

# luke, upstream's build program, is one Lua file in the archive. It takes
# every setting as an argument and probes by compiling, never by running.
luke() {
	cl_run "$(cl_lua_interpreter)" build-aux/luke \
		package=luaposix \
		version="${PV}" \
		PREFIX="${EPREFIX}/usr" \
		LUA_INCDIR="${ESYSROOT}/usr/include/lua${CL_LUA_VERSION}" \
		CC="${CC}" \
		CFLAGS="${CPPFLAGS} ${CFLAGS}" \
		LDFLAGS="${LDFLAGS}" \
		LIBFLAG="-shared -fPIC" \
		INST_LIBDIR="${ED}$(cl_lua_cdir)" \
		INST_LUADIR="${ED}$(cl_lua_dir)" \
		"${@}"
}

src_compile() {
	luke
}

src_test() {
	# Upstream's specifications need specl, which needs a stack of Lua packages.
	# This loads every module that was built and crosses into the kernel.
	luke install INST_LIBDIR="${T}/c" INST_LUADIR="${T}/lua"
	local -x LUA_PATH="${T}/lua/?.lua;${T}/lua/?/init.lua" LUA_CPATH="${T}/c/?.so"
	local module modules=()
	while read -r module; do
		module=${module#./}
		modules+=( "${module//\//.}" )
	done < <(cd "${T}/c" && find . -name '*.so' | sed 's/\.so$//' | sort)
	[[ ${#modules[@]} -gt 20 ]] || die "only ${#modules[@]} modules were built"

	cl_run "$(cl_lua_interpreter)" -e "
		for name in ('${modules[*]}'):gmatch('%S+') do
			assert(type(require(name)) == 'table', name)
		end
		local posix = require('posix')
		local child = assert(posix.fork())
		if child == 0 then posix._exit(7) end
		local pid, how, status = posix.wait(child)
		assert(pid == child and how == 'exited' and status == 7)
		assert(posix.setenv('CL_TEST', 'set') and posix.getenv('CL_TEST') == 'set')
		assert(posix.stat('.').type == 'directory')
		assert(posix.crypt == nil)
	"
}

src_install() {
	luke install
	dodoc NEWS.md README.md
}
