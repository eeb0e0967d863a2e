# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-lua

DESCRIPTION="Environment modules in Lua, for hierarchies of compilers and MPI libraries"
HOMEPAGE="https://lmod.readthedocs.io/ https://github.com/TACC/Lmod"
# Debian's archive has another top directory than the one of upstream's tag, so
# the files differ. Debian's second archive, Hermes, only runs upstream's tests.
SRC_URI="mirror://debian/pool/main/l/lmod/lmod_${PV}.orig.tar.gz -> ${P}.tar.gz"
# Named after the commit that release 8.7.60 is.
S="${WORKDIR}/TACC-Lmod-cc4159b"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="+tcl test"
RESTRICT="!test? ( test )"

LUA_MODULES="
	dev-lua/lua-term
	dev-lua/luafilesystem
	dev-lua/luaposix
"
# Tcl is on unless a site says otherwise: most of the world's modulefiles are
# written in it, and without it Lmod refuses them.
DEPEND+=" tcl? ( dev-lang/tcl:= )"
RDEPEND+="
	${LUA_MODULES}
	app-shells/bash
	tcl? ( dev-lang/tcl:= )
"
# configure looks for the modules by loading them.
BDEPEND+=" ${LUA_MODULES}"

src_prepare() {
	default

	# A layer is configured by the layer: what a host keeps for its own Lmod
	# must not change what the layer's does.
	grep -rlE '/etc/(lmod|lmodrc)' init src |
		xargs sed -i -E "s#([\" =(]|^)/etc/(lmod|lmodrc)#\1${EPREFIX}/etc/\2#g" || die

	# These files are sourced, or given to an interpreter by name. A first line
	# naming a shell of the host, or searching one with env, is of no use.
	sed -i -e '1{/^#!/d}' init/*.in init/lmod_bash_completions src/*.tcl || die

	# Scripts that say "set -u" source these too.
	sed -i -e 's/:-$FPATH}/:-${FPATH:-}}/' init/*.in || die
}

src_configure() {
	cl_toolchain_export

	# Programs are named, not located: Lmod finds them in PATH at run time, so
	# that what this machine happens to have is not written into the layer.
	local -x ac_cv_path_{PS=ps,READLINK=readlink,EXPR=expr,BASENAME=basename}
	local -x ac_cv_path_PATH_TO_{LS=ls,PAGER=less,HASHSUM=sha1sum,GIT=}
	local -x ac_cv_path_PATH_TO_POD2MAN=UNKNOWN_POD2MAN ac_cv_path_ZSH=
	# The script uses bash's syntax and says /bin/sh.
	local -x CONFIG_SHELL=${BASH}
	# Tcl is the layer's, or none: configure would take any it finds.
	local -x ac_cv_path_PATH_TO_TCLSH=tclsh TCL_INCLUDE= TCL_LIBS=
	if use tcl; then
		ac_cv_path_PATH_TO_TCLSH=${EPREFIX}/usr/bin/tclsh
		TCL_INCLUDE="-I${ESYSROOT}/usr/include"
		TCL_LIBS="-ltcl8.6"
	fi
	local options=(
		--prefix="${EPREFIX}/usr/share/Lmod"
		--with-siteControlPrefix=yes
		--with-lua="${BROOT}/usr/bin/lua${CL_LUA_VERSION}"
		--with-luac="${BROOT}/usr/bin/luac${CL_LUA_VERSION}"
		--with-lua_include="${ESYSROOT}/usr/include/lua${CL_LUA_VERSION}"
		--with-lmodConfigDir="${EPREFIX}/etc/lmod"
		--with-module-root-path="${EPREFIX}/etc/modulefiles"
		--with-ModulePathInit="${EPREFIX}/etc/lmod/.modulespath"
		--with-tcl=$(usex tcl)
		--with-fastTCLInterp=$(usex tcl)
	)
	cl_run "${CONFIG_SHELL}" ./configure "${options[@]}"
}

src_test() {
	# Upstream's tests need the Hermes tools; they compare transcripts that hold
	# paths and dates. This runs the program from the source directory.
	local lua="$(cl_lua_interpreter)" output
	local -x LUA_PATH="${S}/src/?.lua;${S}/tools/?.lua;${S}/shells/?.lua;;"
	mkdir -p "${T}/modulefiles/tool" || die
	echo 'setenv("CL_TOOL", "1.0")' > "${T}/modulefiles/tool/1.0.lua" || die
	output=$(MODULEPATH=${T}/modulefiles "${lua}" src/lmod.in.lua bash load tool/1.0) || die
	echo "${output}"
	[[ ${output} == *'CL_TOOL="1.0"'* || ${output} == *"CL_TOOL=1.0"* ]] || die "module load sets nothing"
}

src_install() {
	# CurDATE: the day of the release, not of this build. The list of zsh
	# directories is empty: they would be the host's.
	emake -j1 install DESTDIR="${D}" CurDATE="$(<.versionDate)" ZSH_SITE_FUNCTIONS_DIRS=

	# Sourced files are no programs.
	find "${ED}/usr/share/Lmod/init" -type f -exec chmod 0644 {} + || die
	find "${ED}/usr/share/Lmod/libexec" -name '*.tcl' -exec chmod 0644 {} + || die

	# Shells read these when a session starts.
	local shell
	mkdir "${T}/profile.d" || die
	for shell in sh csh; do
		sed -e "s|@EPREFIX@|${EPREFIX}|g" "${FILESDIR}/lmod-r1.${shell}" > "${T}/profile.d/lmod.${shell}" || die
	done
	insinto /etc/profile.d
	doins "${T}"/profile.d/lmod.{sh,csh}
	sed -e "s|@EPREFIX@|${EPREFIX}|g" "${FILESDIR}/module-command.sh" > "${T}/module-command.sh" || die
	newins "${T}/module-command.sh" 00-module-command.sh

	# A module for people who reached Lmod without entering the layer.
	sed -e "s|@EPREFIX@|${EPREFIX}|g" "${FILESDIR}/layer.lua" > "${T}/layer.lua" || die
	insinto /etc/modulefiles
	doins "${T}/layer.lua"
	echo "${EPREFIX}/etc/modulefiles" > "${T}/modulespath" || die
	insinto /etc/lmod
	newins "${T}/modulespath" .modulespath

	# Upstream's makefile goes on when a step fails.
	local program
	for program in lmod ml_cmd spider update_lmod_system_cache_files; do
		[[ -x ${ED}/usr/share/Lmod/libexec/${program} ]] || die "${program} was not installed"
	done
	if use tcl && [[ ! -e ${ED}/usr/share/Lmod/lib/tcl2lua.so ]]; then
		die "the library that reads modulefiles in Tcl was not installed"
	fi

	# Scripts for bash start with the layer's.
	grep -rlE '^#!(/usr)?/bin/(env )?bash' "${ED}/usr/share/Lmod" |
		xargs -r sed -i -E "1s|^#!.*|#!${EPREFIX}/usr/bin/bash|" || die
	dodoc README.md
	cl_shebangs
}
