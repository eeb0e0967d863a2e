# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

# @ECLASS: cl-lua.eclass
# @MAINTAINER:
# compatlayer <compatlayer@example.org>
# @SUPPORTED_EAPIS: 8
# @PROVIDES: cl-toolchain
# @BLURB: modules for the layer's Lua
# @DESCRIPTION:
# A layer has one Lua. This eclass is the only place, besides dev-lang/lua
# itself, that knows its version and where its modules live.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_CL_LUA_ECLASS} ]]; then
_CL_LUA_ECLASS=1

inherit cl-toolchain

# @ECLASS_VARIABLE: CL_LUA_VERSION
# @OUTPUT_VARIABLE
# @DESCRIPTION:
# Major and minor version, as in package.path.
CL_LUA_VERSION=5.4

# @ECLASS_VARIABLE: CL_LUA_DEP
# @OUTPUT_VARIABLE
# @DESCRIPTION:
# The dependency on Lua. Headers are needed to build, the interpreter to run;
# tests and some build scripts run it on the building machine too.
CL_LUA_DEP="dev-lang/lua:${CL_LUA_VERSION}"

DEPEND="${CL_LUA_DEP}"
RDEPEND="${CL_LUA_DEP}"
BDEPEND="${CL_LUA_DEP}"

# @FUNCTION: cl_lua_cflags
# @DESCRIPTION:
# Prints what a C module needs to find lua.h.
cl_lua_cflags() {
	echo "-I${ESYSROOT}/usr/include/lua${CL_LUA_VERSION}"
}

# @FUNCTION: cl_lua_cdir
# @DESCRIPTION:
# Prints the directory of C modules, without the prefix.
cl_lua_cdir() {
	echo "/usr/$(get_libdir)/lua/${CL_LUA_VERSION}"
}

# @FUNCTION: cl_lua_dir
# @DESCRIPTION:
# Prints the directory of Lua modules, without the prefix.
cl_lua_dir() {
	echo "/usr/share/lua/${CL_LUA_VERSION}"
}

# @FUNCTION: cl_lua_interpreter
# @DESCRIPTION:
# Prints a Lua that runs on the building machine: the layer's own, or, when
# cross-compiling, the first in PATH (the layer's cannot be run there).
cl_lua_interpreter() {
	local lua=${BROOT}/usr/bin/lua${CL_LUA_VERSION}

	if cl_is_cross; then
		lua=$(type -P "lua${CL_LUA_VERSION}" || type -P lua) ||
			die "building for ${CHOST} needs lua${CL_LUA_VERSION} on the building machine"
	fi
	echo "${lua}"
}

# @FUNCTION: cl_lua_cmodule
# @USAGE: <module file without .so> [flag]... <source>...
# @DESCRIPTION:
# Compiles one C module. No Lua library is linked: the interpreter that loads
# the module brings the symbols.
cl_lua_cmodule() {
	local module=${1}
	shift
	cl_objects "${T}/objects/${module}" -fPIC $(cl_lua_cflags) "${@}"
	mkdir -p "$(dirname "${module}")" || die
	cl_run ${CC} ${CFLAGS} -shared ${LDFLAGS} -o "${module}.so" "${T}/objects/${module}"/*.o
}

fi
