# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Small, fast, embeddable scripting language"
HOMEPAGE="https://www.lua.org/"
SRC_URI="
	https://www.lua.org/ftp/${P}.tar.gz
	mirror://debian/pool/main/l/lua$(ver_cut 1-2)/lua$(ver_cut 1-2)_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="MIT"
SLOT="$(ver_cut 1-2)"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# os.execute and io.popen start what the C library says is the shell.
RDEPEND+=" !prefix-guest? ( app-shells/bash )"

src_prepare() {
	default

	# The default package.path and package.cpath: inside the prefix, C modules
	# in the target's library directory.
	sed -i \
		-e "s|\"/usr/local/\"|\"${EPREFIX}/usr/\"|" \
		-e "s|LUA_ROOT \"lib/lua/\"|LUA_ROOT \"$(get_libdir)/lua/\"|" \
		src/luaconf.h || die
	grep -q "LUA_ROOT.*\"${EPREFIX}/usr/\"" src/luaconf.h || die "LUA_ROOT has moved"
	grep -q "LUA_CDIR.*\"$(get_libdir)/lua/\"" src/luaconf.h || die "LUA_CDIR has moved"
}

src_configure() {
	cl_toolchain_export
}

src_compile() {
	# "linux" has no readline: a layer's Lua runs programs, people use it little.
	emake linux \
		CC="${CC} -std=gnu99" \
		AR="${AR} rc" \
		RANLIB="${RANLIB}" \
		MYCFLAGS="${CPPFLAGS} ${CFLAGS}" \
		MYLDFLAGS="${LDFLAGS}"
}

src_test() {
	# Upstream's test suite is a separate archive with no release of its own in
	# our mirrors; this checks what we changed and that the compiler works.
	cl_run src/lua -e "
		local prefix = '${EPREFIX}/usr/'
		assert(package.path:sub(1, #prefix) == prefix, package.path)
		assert(package.cpath:sub(1, #prefix) == prefix, package.cpath)
		assert(not (package.path .. package.cpath):find('/usr/local', 1, true))
		assert(2^53 == 9007199254740992 and 7 // 2 == 3 and ('x'):rep(3) == 'xxx')
	"
	echo 'print(string.format("%d", 6 * 7))' > "${T}/answer.lua" || die
	cl_run src/luac -s -o "${T}/answer.luac" "${T}/answer.lua"
	[[ $(src/lua "${T}/answer.luac") == 42 ]] || die "luac's output does not run"
}

src_install() {
	newbin src/lua lua${SLOT}
	newbin src/luac luac${SLOT}
	# The one Lua of a layer owns the plain names.
	dosym lua${SLOT} /usr/bin/lua
	dosym luac${SLOT} /usr/bin/luac

	insinto /usr/include/lua${SLOT}
	doins src/{lua,luaconf,lualib,lauxlib}.h src/lua.hpp
	newlib.a src/liblua.a liblua${SLOT}.a
	cl_pkgconfig lua${SLOT} ${PV} "${DESCRIPTION}" "-llua${SLOT} -lm -ldl" \
		"-I\${includedir}/lua${SLOT}"
	dosym lua${SLOT}.pc /usr/$(get_libdir)/pkgconfig/lua.pc

	newman doc/lua.1 lua${SLOT}.1
	newman doc/luac.1 luac${SLOT}.1
	dodoc README
	docinto html
	dodoc doc/*.html doc/*.css doc/*.gif doc/*.png

	keepdir /usr/$(get_libdir)/lua/${SLOT} /usr/share/lua/${SLOT}
}
